/**
 * Reads and validates the components of a `tokenizer.json` (normalizer, pre-tokenizer, post-processor, model) field by
 * field, like the Rust tokenizers.
 */
import { SentvecError } from '../errors.ts';
import { isObject } from '../model-folder/json.ts';
import type { Pattern } from './pattern/pattern.ts';

/** Maximum nesting of `Sequence` components. */
const maxNesting = 16;
/** Maximum number of components. Each one processes the whole text; published tokenizers have up to ten. */
const maxParts = 256;

/** A component of a tokenizer: a JSON object with a `type`. */
export class Component {
  readonly type: string;
  /** Path of the component in tokenizer.json, such as `normalizer` or `pre_tokenizer.pretokenizers[1]`. */
  readonly path: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #count: { parts: number };

  /** @throws SentvecError `invalid-model` when it is not an object with a type */
  constructor(value: unknown, path: string, count: { parts: number } = { parts: 0 }) {
    const { type } = isObject(value) ? value : {};
    if (typeof type !== 'string') throw invalid(path, 'must be an object with a "type"');
    count.parts += 1;
    if (count.parts > maxParts || path.split('.').length > maxNesting)
      throw new SentvecError(
        'unsupported-model',
        `tokenizer.json has more than ${maxParts} components, or more than ${maxNesting} levels of nested components.`,
        { file: 'tokenizer.json' },
      );
    this.type = type;
    this.path = path;
    this.#fields = value as Readonly<Record<string, unknown>>;
    this.#count = count;
  }

  /**
   * @throws SentvecError `invalid-model` when the field is missing and has no default, or has another type; the other
   * methods likewise
   */
  boolean(name: string, defaultValue?: boolean): boolean {
    return this.#read(name, 'true or false', (value) => typeof value === 'boolean', defaultValue);
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

  /** A string with exactly one character. */
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

  /** A whole number of at least `min`. */
  wholeNumber(name: string, min: number, defaultValue?: number): number {
    const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= min;
    return this.#read(name, `a whole number from ${min}`, isWhole, defaultValue);
  }

  /** A field that may be missing or null. */
  optionalWholeNumber(name: string): number | undefined {
    const isWhole = (value: unknown): value is number | null =>
      value === null || (Number.isSafeInteger(value) && (value as number) >= 0);
    return this.#read(name, 'a whole number or null', isWhole, null) ?? undefined;
  }

  oneOf<Choice extends string>(name: string, choices: readonly Choice[], defaultValue?: Choice): Choice {
    const isChoice = (value: unknown): value is Choice => choices.includes(value as Choice);
    return this.#read(name, `one of ${choices.join(', ')}`, isChoice, defaultValue);
  }

  /** A list of components. */
  list(name: string): Component[] {
    const values: readonly unknown[] = this.#read(name, 'a list', (value) => Array.isArray(value));
    return values.map((value, index) => new Component(value, `${this.path}.${name}[${index}]`, this.#count));
  }

  /**
   * `{ "String": "…" }` or `{ "Regex": "…" }`.
   * @throws SentvecError `unsupported-model` when the pattern uses syntax that sentvec does not support
   */
  async pattern(name: string): Promise<string | Pattern> {
    const isPattern = (value: unknown): value is Record<string, string> =>
      isObject(value) && Object.keys(value).length === 1 && typeof (value['String'] ?? value['Regex']) === 'string';
    const { String: literal, Regex: source } = this.#read(name, 'an object with "String" or "Regex"', isPattern);
    return source === undefined ? literal! : compilePattern(source);
  }

  /** The error for a component with invalid values. */
  invalid(what: string): SentvecError {
    return invalid(this.path, what);
  }

  /** The error for a component with an unsupported setting. */
  unsupported(what: string): SentvecError {
    const message = `${this.path} in tokenizer.json has ${what}, which sentvec does not support.`;
    return new SentvecError('unsupported-model', message, { file: 'tokenizer.json' });
  }

  /** The error for a component of an unknown type. */
  unknown(known: string): SentvecError {
    const message = `tokenizer.json uses "${this.type}" as ${this.path}, which sentvec does not support. Supported are ${known}.`;
    return new SentvecError('unsupported-model', message, { file: 'tokenizer.json' });
  }

  #read<Value>(name: string, kind: string, is: (value: unknown) => value is Value, defaultValue?: Value): Value {
    const value = Object.hasOwn(this.#fields, name) ? this.#fields[name] : defaultValue;
    if (is(value)) return value;
    throw invalid(`${this.path}.${name}`, `must be ${kind}, not ${JSON.stringify(value)?.slice(0, 100) ?? 'missing'}`);
  }
}

/**
 * Compiles a regular expression. The matcher is imported dynamically, so that web pages load it only for tokenizers
 * that need it.
 */
export async function compilePattern(source: string): Promise<Pattern> {
  const { Pattern } = await import('./pattern/pattern.ts');
  return new Pattern(source);
}

function invalid(path: string, what: string): SentvecError {
  return new SentvecError('invalid-model', `${path} in tokenizer.json ${what}.`, { file: 'tokenizer.json' });
}
