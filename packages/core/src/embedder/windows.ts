/**
 * Groups the texts of an array or of a stream into windows. The texts of a window are tokenized and sorted together.
 */
import { nextTask, shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { windowCharacters, windowTexts } from './batching.ts';
import { SentvecError } from '../errors.ts';
import type { TextStream } from './embedder-types.ts';

/**
 * The most UTF-16 code units of a text. All of a text is tokenized to report its full length, which takes some 200
 * bytes of memory per code unit. The limit is far beyond what any model reads: a novel has a million.
 */
const maxTextLength = 2 ** 22;

/** Consecutive texts. */
export interface TextWindow {
  readonly firstRow: number;
  readonly texts: readonly string[];
}

/** Texts, window by window. */
export interface WindowSource {
  /** The next window; `undefined` when there are no more texts. */
  read(): Promise<TextWindow | undefined>;
}

/**
 * Copies an array of texts and checks each, before any is embedded.
 * @param call the function that was given the texts, for the message
 * @throws SentvecError `invalid-argument` when it is not an array, `invalid-text`
 */
export async function checkedTexts(texts: readonly unknown[], call: string): Promise<readonly string[]> {
  if (!Array.isArray(texts))
    throw new SentvecError(
      'invalid-argument',
      `${call} takes texts as an array, not ${kindOf(texts)}. Use embedStream() for other sources of texts.`,
    );
  // Copied before the first await: the caller's array may change while the texts are checked.
  const copy = texts.slice();
  for (let row = 0; row < copy.length; row += 1) {
    checkText(copy[row], row);
    if (shouldYield()) await yieldToEventLoop();
  }
  return copy as string[];
}

/** @throws SentvecError `invalid-text` for a query that is empty or not a string */
export function checkRankQuery(query: unknown): void {
  if (typeof query === 'string' && query.trim() !== '') return;
  const found = typeof query === 'string' ? 'empty' : `of type ${typeof query}`;
  throw new SentvecError('invalid-text', `The query is ${found}. Pass a text with at least one word.`);
}

/** @throws SentvecError `invalid-argument` */
export function checkIsArray(call: string, value: unknown, what: string): asserts value is readonly unknown[] {
  if (Array.isArray(value)) return;
  throw new SentvecError(
    'invalid-argument',
    `${call} takes ${what} as an array, not ${value === null ? 'null' : typeof value}.`,
  );
}

/** The windows of an array of texts. The windows depend on the texts alone, not on timing. */
export function windowsOf(texts: readonly string[]): WindowSource {
  let next = 0;
  return {
    read: async () => {
      const firstRow = next;
      for (let characters = 0; next < texts.length && !isFull(next - firstRow, characters); next += 1)
        characters += texts[next]!.length;
      return next === firstRow ? undefined : { firstRow, texts: texts.slice(firstRow, next) };
    },
  };
}

function isFull(texts: number, characters: number): boolean {
  return texts >= windowTexts || characters >= windowCharacters;
}

type Answer = IteratorResult<unknown>;

/**
 * Reads a stream of texts window by window. A window ends early when its first text has waited `maxWait` milliseconds.
 */
export class StreamWindows implements WindowSource {
  readonly #source: AsyncIterator<unknown> | Iterator<unknown>;
  readonly #maxWait: number;
  #row = 0;
  /** Result of a call of `next()` that has not been consumed yet. */
  #pending: Answer | PromiseLike<Answer> | undefined;
  #ended = false;

  /**
   * @param maxWait see {@link EmbedStreamOptions.maxWait}
   * @throws SentvecError `invalid-argument`
   */
  constructor(texts: TextStream, maxWait = 100) {
    if (!isStream(texts))
      throw new SentvecError(
        'invalid-argument',
        `embedStream() takes an iterable or async iterable of texts, not ${kindOf(texts)}. Use embed() for a single text.`,
      );
    if (!(maxWait >= 0))
      throw new SentvecError('invalid-argument', `maxWait is ${String(maxWait)}; it must be at least 0 milliseconds.`);
    this.#maxWait = maxWait;
    this.#source = Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator]();
  }

  /** @throws SentvecError `invalid-text` at a value that is not a text; what the source throws */
  async read(): Promise<TextWindow | undefined> {
    const firstRow = this.#row;
    const texts: string[] = [];
    let deadline: Deadline | undefined;
    try {
      for (let characters = 0; !this.#ended && !isFull(texts.length, characters);) {
        const pending = this.#requestNext();
        if (deadline !== undefined && 'then' in pending && (await deadline.passesBefore(pending))) break;
        const text = await this.#take(pending);
        if (text === undefined) break;
        texts.push(text);
        characters += text.length;
        deadline ??= new Deadline(this.#maxWait);
        if (shouldYield()) await yieldToEventLoop();
      }
    } finally {
      deadline?.clear();
    }
    return texts.length === 0 ? undefined : { firstRow, texts };
  }

  /**
   * Calls `return()` of the source, so that it can close its files. If a call of `next()` is pending, the source may
   * never settle it, so `return()` is not awaited.
   */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const closed = Promise.resolve(this.#source.return?.());
    if (this.#pending === undefined) await closed;
    else closed.catch(() => {});
  }

  #requestNext(): Answer | PromiseLike<Answer> {
    return (this.#pending ??= this.#source.next());
  }

  async #take(pending: Answer | PromiseLike<Answer>): Promise<string | undefined> {
    let answer: Answer;
    try {
      answer = await pending;
    } catch (error) {
      this.#ended = true;
      throw error;
    } finally {
      this.#pending = undefined;
    }
    if (answer.done) {
      this.#ended = true;
      return undefined;
    }
    checkText(answer.value, this.#row);
    this.#row += 1;
    return answer.value;
  }
}

/** The longest delay of `setTimeout`: with a longer one it fires at once. */
const maxTimerDelay = 2 ** 31 - 1;

/** The point in time after which a window no longer waits for further texts. */
class Deadline {
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #passing: Promise<void>;
  #passed = false;

  constructor(milliseconds: number) {
    let pass = (): void => {};
    this.#passing = new Promise((resolve) => {
      pass = resolve;
    });
    this.#timer = setTimeout(
      () => {
        this.#passed = true;
        pass();
      },
      Math.min(milliseconds, maxTimerDelay),
    );
  }

  /**
   * Whether the deadline passes before the promise settles. If the deadline has already passed, the promise still gets
   * one turn of the event loop to settle.
   */
  async passesBefore(answer: PromiseLike<unknown>): Promise<boolean> {
    const end = this.#passed ? nextTask() : this.#passing;
    // A rejection counts as settled here; whoever awaits the promise itself gets the error.
    const answered = answer.then(
      () => false,
      () => false,
    );
    return Promise.race([answered, end.then(() => true)]);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

function isStream(texts: unknown): boolean {
  return typeof texts === 'object' && texts !== null && (Symbol.asyncIterator in texts || Symbol.iterator in texts);
}

/** @throws SentvecError `invalid-text` when the value is not a string, or too long to be tokenized in bounded memory */
function checkText(value: unknown, row: number): asserts value is string {
  if (typeof value !== 'string') {
    throw new SentvecError(
      'invalid-text',
      `Row ${row} is ${kindOf(value)}, not a text. Leave it out, or make a string of it.`,
      { row },
    );
  }
  if (value.length <= maxTextLength) return;
  throw new SentvecError(
    'invalid-text',
    `Row ${row} has ${value.length} characters; a text may have at most ${maxTextLength}. Use embedPieces() on shorter parts of it: a model reads only the first tokens of a text.`,
    { row },
  );
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
}
