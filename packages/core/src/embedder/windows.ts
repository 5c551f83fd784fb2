import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { windowCharacters, windowTexts } from './batching.ts';
import { SentvecError } from '../errors.ts';

/**
 * The most UTF-16 code units of a text. To report its true length all of it is tokenized, which takes some 200 bytes
 * for each. Far beyond what any model reads: a novel has a million.
 */
const longestText = 2 ** 22;

/** Consecutive texts of a stream. */
export interface TextWindow {
  readonly firstRow: number;
  readonly texts: readonly string[];
}

/**
 * Reads a stream of texts window by window, where the windows depend on the texts alone.
 * @throws SentvecError `invalid-text` at a value that is not a string
 */
export class WindowReader {
  readonly #source: AsyncIterator<unknown> | Iterator<unknown>;
  #row = 0;
  #reading = false;
  #ended = false;

  constructor(texts: AsyncIterable<string> | Iterable<string>) {
    this.#source = Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator]();
  }

  /** The next window; `undefined` when there are no more texts. */
  async read(): Promise<TextWindow | undefined> {
    const firstRow = this.#row;
    const texts: string[] = [];
    for (let characters = 0; !this.#ended && texts.length < windowTexts && characters < windowCharacters;) {
      const text = await this.#next();
      if (text === undefined) break;
      texts.push(text);
      characters += text.length;
      if (shouldYield()) await yieldToEventLoop();
    }
    return texts.length === 0 ? undefined : { firstRow, texts };
  }

  /**
   * Tells the source that no more is wanted, so that it can close its files. A source that is being read may never
   * answer, so it is not waited for.
   */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const closed = Promise.resolve(this.#source.return?.());
    if (this.#reading) closed.catch(() => {});
    else await closed;
  }

  async #next(): Promise<string | undefined> {
    this.#reading = true;
    let step: IteratorResult<unknown>;
    try {
      step = await this.#source.next();
    } catch (error) {
      this.#ended = true;
      throw error;
    } finally {
      this.#reading = false;
    }
    if (step.done) {
      this.#ended = true;
      return undefined;
    }
    checkText(step.value, this.#row);
    this.#row += 1;
    return step.value;
  }
}

/** Finds a bad text before any is embedded. @throws SentvecError `invalid-text` */
export async function checkTexts(texts: readonly unknown[]): Promise<void> {
  for (let row = 0; row < texts.length; row += 1) {
    checkText(texts[row], row);
    if (shouldYield()) await yieldToEventLoop();
  }
}

/** @throws SentvecError `invalid-text` when the value is not a string, or too long to be tokenized in bounded memory */
function checkText(value: unknown, row: number): asserts value is string {
  if (typeof value !== 'string') {
    const kind = value === null ? 'null' : Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
    throw new SentvecError('invalid-text', `Row ${row} is ${kind}, not a text. Leave it out, or make a string of it.`, {
      row,
    });
  }
  if (value.length <= longestText) return;
  throw new SentvecError(
    'invalid-text',
    `Row ${row} has ${value.length} characters; a text may have at most ${longestText}. Cut it into parts: a model reads the first ones only.`,
    { row },
  );
}
