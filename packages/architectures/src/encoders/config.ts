// Reads the values of a model's config.json, which is untrusted: the type and range of each value are checked.
import { isObject, parseJson, SentvecError } from '@sentvec/core';
import { type ActivationFunction, hiddenActivations } from '../activations.ts';

/** The range of a number, inclusive, and its value when the key is missing. */
interface NumberOptions {
  readonly fallback?: number | undefined;
  readonly smallest?: number | undefined;
  readonly largest?: number | undefined;
}

/** The maximum number of layers, which is more than any published model has. A larger value means a damaged file. */
const maxLayers = 1024;

/** The object within the file that a reader reads, and the names of its keys. */
interface Scope {
  /** The prefix of keys in messages, for example `rope_parameters.`. */
  readonly path: string;
  /** Names in the file by standard key. See {@link ConfigReader.withKeys}. */
  readonly keys: ReadonlyMap<string, string>;
}

/**
 * Reads a model's `config.json`, which is untrusted. A value of null counts as missing. Errors name the file and the
 * key.
 */
export class ConfigReader {
  /** The name of the file in messages. */
  readonly file: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #scope: Scope;

  constructor(values: Readonly<Record<string, unknown>>, file: string, scope: Scope = { path: '', keys: new Map() }) {
    this.file = file;
    this.#values = values;
    this.#scope = scope;
  }

  /** @throws SentvecError `invalid-model` when `bytes` is not a JSON object */
  static parse(bytes: Uint8Array, file: string): ConfigReader {
    const values = parseJson(bytes, file);
    if (!isObject(values)) {
      throw new SentvecError('invalid-model', `${file} does not contain a JSON object. Download the model again.`, {
        file,
      });
    }
    return new ConfigReader({ ...values }, file);
  }

  /**
   * The same configuration for an architecture that has other names for some keys. `keys` maps the standard key to the
   * other name. If a configuration has both, the other name takes precedence.
   */
  withKeys(keys: Readonly<Record<string, string>>): ConfigReader {
    return new ConfigReader(this.#values, this.file, { ...this.#scope, keys: new Map(Object.entries(keys)) });
  }

  /**
   * The object under a key, such as `rope_parameters`; `undefined` if it is missing.
   * @throws SentvecError `invalid-model`
   */
  section(key: string): ConfigReader | undefined {
    const { name, value } = this.#find(key);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw this.#wrong(name, 'an object', value);
    return new ConfigReader({ ...value }, this.file, { path: `${this.#scope.path}${name}.`, keys: new Map() });
  }

  /**
   * A string.
   * @throws SentvecError `invalid-model` if it is another type, or is missing without a fallback
   */
  text(key: string, fallback?: string): string {
    const { name, value = fallback } = this.#find(key);
    if (typeof value === 'string') return value;
    throw this.#wrong(name, 'text', value);
  }

  /**
   * A list of strings, such as `layer_types`; `undefined` if it is missing.
   * @throws SentvecError `invalid-model`
   */
  texts(key: string): readonly string[] | undefined {
    const { name, value } = this.#find(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
    throw this.#wrong(name, 'a list of texts', value);
  }

  /**
   * A list of integers, such as `full_attn_idxs`; `undefined` if it is missing.
   * @throws SentvecError `invalid-model`
   */
  integers(key: string): readonly number[] | undefined {
    const { name, value } = this.#find(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((each) => Number.isSafeInteger(each))) return value;
    throw this.#wrong(name, 'a list of whole numbers', value);
  }

  /**
   * A list of strings, each one of `known`. In the file it may also be one string with `separator` between the parts,
   * in upper or lower case, such as `c2p|p2c`.
   * @throws SentvecError `invalid-model`; `unsupported-model` if a part is not in `known`
   */
  parts<Part extends string>(key: string, separator: string, known: readonly Part[]): readonly Part[] | undefined {
    const { value } = this.#find(key);
    const given = typeof value === 'string' ? value.toLowerCase().split(separator) : this.texts(key);
    return given?.map((each) => {
      const part = known.find((name) => name === each.trim());
      if (part !== undefined) return part;
      throw this.unsupported(key, each, `Supported: ${known.join(', ')}.`);
    });
  }

  /** Whether a key exists and its value is not null. */
  has(key: string): boolean {
    return this.#find(key).value !== undefined;
  }

  /** Whether a key has the value null, which all other methods treat as missing. */
  isNull(key: string): boolean {
    return this.#values[key] === null;
  }

  /**
   * A boolean.
   * @throws SentvecError `invalid-model`
   */
  flag(key: string, fallback: boolean): boolean {
    const { name, value = fallback } = this.#find(key);
    if (typeof value === 'boolean') return value;
    throw this.#wrong(name, 'true or false', value);
  }

  /**
   * An integer from `smallest` (default: 1) to `largest` (default: no limit).
   * @throws SentvecError `invalid-model`
   */
  integer(key: string, { fallback, smallest = 1, largest = Infinity }: NumberOptions = {}): number {
    const { name, value = fallback } = this.#find(key);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= smallest && value <= largest) return value;
    const bound = largest === Infinity ? `of at least ${smallest}` : `from ${smallest} to ${largest}`;
    throw this.#wrong(name, `a whole number ${bound}`, value);
  }

  /** A number of layers. @throws SentvecError `invalid-model` */
  layers(key: string): number {
    return this.integer(key, { largest: maxLayers });
  }

  /**
   * The type of each of `count` layers, from `layer_types` or, if that is missing, from `typeOf`.
   * @throws SentvecError `invalid-model` if the list has another length, `unsupported-model` if a type is not in
   * `known`
   */
  layerTypes<Type extends string>(known: readonly Type[], count: number, typeOf: (layer: number) => Type): Type[] {
    const given = this.texts('layer_types');
    if (given === undefined) return Array.from({ length: count }, (_, layer) => typeOf(layer));
    if (given.length !== count) throw this.#wrong('layer_types', `a list of ${count} texts`, given);
    return given.map((name) => {
      const type = known.find((each) => each === name);
      if (type !== undefined) return type;
      throw this.unsupported('layer_types', name, `Supported types of layers: ${known.join(', ')}.`);
    });
  }

  /** A finite number greater than 0, such as the base of rotary positions. @throws SentvecError `invalid-model` */
  positive(key: string, fallback?: number): number {
    const { name, value = fallback } = this.#find(key);
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
    throw this.#wrong(name, 'a number greater than 0', value);
  }

  /**
   * The epsilon of a normalization: greater than 0, so that a constant vector (such as padding) does not divide by
   * zero, and less than 1.
   * @throws SentvecError `invalid-model`
   */
  epsilon(key: string, fallback: number): number {
    const { name, value = fallback } = this.#find(key);
    if (typeof value === 'number' && value > 0 && value < 1) return value;
    throw this.#wrong(name, 'a number greater than 0 and less than 1', value);
  }

  /**
   * A rate from 0, inclusive, to 1, exclusive.
   * @throws SentvecError `invalid-model`
   */
  fraction(key: string, fallback: number): number {
    const { name, value = fallback } = this.#find(key);
    if (typeof value === 'number' && value >= 0 && value < 1) return value;
    throw this.#wrong(name, 'a number of at least 0 and less than 1', value);
  }

  /**
   * An activation by its name in transformers.
   * @throws SentvecError `unsupported-model` if the name is unknown
   */
  activation(key: string, fallback: string): ActivationFunction {
    return this.activationNamed(this.text(key, fallback), key);
  }

  /**
   * An activation by a name that is a part of the value of `key`.
   * @throws SentvecError `unsupported-model`
   */
  activationNamed(name: string, key: string): ActivationFunction {
    const activation = hiddenActivations.get(name);
    if (activation !== undefined) return activation;
    const known = [...hiddenActivations.keys()].join(', ');
    throw this.unsupported(key, name, `Supported activations: ${known}.`);
  }

  /**
   * The size of an attention head.
   * @throws SentvecError `invalid-model` if `width` is not a multiple of `heads`
   */
  headSize(width: number, heads: number): number {
    if (width % heads === 0) return width / heads;
    throw new SentvecError(
      'invalid-model',
      `${this.file}: a width of ${width} cannot be divided among ${heads} attention heads.`,
      {
        file: this.file,
      },
    );
  }

  /**
   * The number of positions for tokens when their numbers start after `paddingId`, as in RoBERTa.
   * @throws SentvecError `invalid-model` if there is none
   */
  positionsAfter(paddingId: number, positions: number): number {
    const left = positions - paddingId - 1;
    if (left > 0) return left;
    throw new SentvecError(
      'invalid-model',
      `${this.file}: ${positions} positions leave none after the padding id ${paddingId}.`,
      {
        file: this.file,
      },
    );
  }

  /**
   * Checks that the value of a key, if it exists, is one of `values`.
   * @throws SentvecError `unsupported-model`
   */
  onlySupports(key: string, ...values: readonly unknown[]): void {
    const { value = values[0] } = this.#find(key);
    if (!values.includes(value))
      throw this.unsupported(key, value, `sentvec supports ${values.map((each) => JSON.stringify(each)).join(', ')}.`);
  }

  /** The error for a valid value that sentvec does not support. */
  unsupported(key: string, value: unknown, remedy: string): SentvecError {
    return new SentvecError(
      'unsupported-model',
      `${this.file}: ${this.#scope.path}${this.#find(key).name} ${JSON.stringify(value)} is not supported. ${remedy}`,
      { file: this.file, key },
    );
  }

  /** The value of a key and its name in the file. */
  #find(key: string): { readonly name: string; readonly value?: unknown } {
    const own = this.#scope.keys.get(key);
    const names = own === undefined ? [key] : [own, key];
    const name = names.find((each) => (this.#values[each] ?? undefined) !== undefined) ?? names[0]!;
    return { name, value: this.#values[name] ?? undefined };
  }

  #wrong(name: string, expected: string, value: unknown): SentvecError {
    const found = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
    const key = this.#scope.path + name;
    return new SentvecError('invalid-model', `${this.file}: "${key}" must be ${expected}, found ${found}.`, {
      file: this.file,
      key,
    });
  }
}
