/**
 * Reads the parts of a `tokenizer.json` (normalizer, pre-tokenizer, post-processor) field by field, as the Rust
 * tokenizers do.
 */
import { SentvecError } from '../errors.ts';
import { isObject } from '../model-folder/json.ts';
import type { Pattern } from './pattern/pattern.ts';

/** The most levels of sequences within sequences. */
const deepestNesting = 16;
/** The most parts of a tokenizer: each goes over the whole text. Published tokenizers have up to ten. */
const maxParts = 256;

/** A part of a tokenizer: an object with a type. */
export class Component {
  readonly type: string;
  /** Where the part is in tokenizer.json, such as `normalizer` or `pre_tokenizer.pretokenizers[1]`. */
  readonly place: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #count: { parts: number };

  /** @throws SentvecError `invalid-model` when it is not an object with a type */
  constructor(value: unknown, place: string, count: { parts: number } = { parts: 0 }) {
    const { type } = isObject(value) ? value : {};
    if (typeof type !== 'string') throw invalid(place, 'must be an object with a "type"');
    count.parts += 1;
    if (count.parts > maxParts || place.split('.').length > deepestNesting)
      throw new SentvecError(
        'unsupported-model',
        `tokenizer.json has more than ${maxParts} parts, or parts more than ${deepestNesting} deep in one another.`,
        { file: 'tokenizer.json' },
      );
    this.type = type;
    this.place = place;
    this.#fields = value as Readonly<Record<string, unknown>>;
    this.#count = count;
  }

  /**
   * @throws SentvecError `invalid-model` when the field is missing and has no default, or of another kind; so do the
   * others
   */
  boolean(name: string, byDefault?: boolean): boolean {
    return this.#read(name, 'true or false', (value) => typeof value === 'boolean', byDefault);
  }

  /** A field that may be missing or null. */
  optionalBoolean(name: string): boolean | undefined {
    const isOptional = (value: unknown): value is boolean | null => typeof value === 'boolean' || value === null;
    return this.#read(name, 'true, false or null', isOptional, null) ?? undefined;
  }

  string(name: string): string {
    return this.#read(name, 'a string', (value) => typeof value === 'string');
  }

  /** A field that may be missing or null. */
  optionalString(name: string): string | undefined {
    const isOptional = (value: unknown): value is string | null => typeof value === 'string' || value === null;
    return this.#read(name, 'a string or null', isOptional, null) ?? undefined;
  }

  /** A string of one character. */
  character(name: string): string {
    const isCharacter = (value: unknown): value is string =>
      typeof value === 'string' && Array.from(value).length === 1;
    return this.#read(name, 'a single character', isCharacter);
  }

  /** A field that may be missing or null. */
  optionalNumber(name: string): number | undefined {
    const isOptional = (value: unknown): value is number | null => typeof value === 'number' || value === null;
    return this.#read(name, 'a number or null', isOptional, null) ?? undefined;
  }

  /** A whole number of at least `least`. */
  wholeNumber(name: string, least: number, byDefault?: number): number {
    const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= least;
    return this.#read(name, `a whole number from ${least}`, isWhole, byDefault);
  }

  /** A field that may be missing or null. */
  optionalWholeNumber(name: string): number | undefined {
    const isWhole = (value: unknown): value is number | null =>
      value === null || (Number.isSafeInteger(value) && (value as number) >= 0);
    return this.#read(name, 'a whole number or null', isWhole, null) ?? undefined;
  }

  oneOf<Choice extends string>(name: string, choices: readonly Choice[], byDefault?: Choice): Choice {
    const isChoice = (value: unknown): value is Choice => choices.includes(value as Choice);
    return this.#read(name, `one of ${choices.join(', ')}`, isChoice, byDefault);
  }

  /** The parts of a sequence. */
  list(name: string): Component[] {
    const values: readonly unknown[] = this.#read(name, 'a list', (value) => Array.isArray(value));
    return values.map((value, index) => new Component(value, `${this.place}.${name}[${index}]`, this.#count));
  }

  /**
   * `{ "String": "…" }` or `{ "Regex": "…" }`.
   * @throws SentvecError `unsupported-model` too, when the pattern uses what sentvec does not know
   */
  async pattern(name: string): Promise<string | Pattern> {
    const isPattern = (value: unknown): value is Record<string, string> =>
      isObject(value) && Object.keys(value).length === 1 && typeof (value['String'] ?? value['Regex']) === 'string';
    const { String: literal, Regex: source } = this.#read(name, 'an object with "String" or "Regex"', isPattern);
    return source === undefined ? literal! : compilePattern(source);
  }

  /** The error of a part whose values contradict each other. */
  invalid(what: string): SentvecError {
    return invalid(this.place, what);
  }

  /** The error of a part that asks for something that sentvec does not support. */
  unsupported(what: string): SentvecError {
    const message = `${this.place} in tokenizer.json has ${what}, which sentvec does not support.`;
    return new SentvecError('unsupported-model', message, { file: 'tokenizer.json' });
  }

  /** The error of a part of a type that is not known. */
  unknown(known: string): SentvecError {
    const message = `tokenizer.json uses "${this.type}" as ${this.place}, which sentvec does not know. It knows ${known}.`;
    return new SentvecError('unsupported-model', message, { file: 'tokenizer.json' });
  }

  #read<Value>(name: string, kind: string, is: (value: unknown) => value is Value, byDefault?: Value): Value {
    const value = Object.hasOwn(this.#fields, name) ? this.#fields[name] : byDefault;
    if (is(value)) return value;
    throw invalid(`${this.place}.${name}`, `must be ${kind}, not ${JSON.stringify(value)?.slice(0, 100) ?? 'missing'}`);
  }
}

/** A regular expression, ready to search. Pages load the matcher with the first tokenizer that has a pattern. */
export async function compilePattern(source: string): Promise<Pattern> {
  const { Pattern } = await import('./pattern/pattern.ts');
  return new Pattern(source);
}

function invalid(place: string, what: string): SentvecError {
  return new SentvecError('invalid-model', `${place} in tokenizer.json ${what}.`, { file: 'tokenizer.json' });
}
