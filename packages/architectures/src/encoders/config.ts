import { isObject, parseJson, SentvecError } from '@sentvec/core';
import { type ActivationFunction, hiddenActivations } from '../activations.ts';

/** Bounds of a whole number, and what it is when its key is missing. */
interface IntegerOptions {
  readonly fallback?: number;
  readonly smallest?: number;
  readonly largest?: number;
}

/** Reads a model's `config.json`, which is untrusted. All errors name the file and the key. */
export class ConfigReader {
  /** How a person would name the file. */
  readonly file: string;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>, file: string) {
    this.file = file;
    this.#values = values;
  }

  /** @throws SentvecError `invalid-model` when `bytes` is not a JSON object */
  static parse(bytes: Uint8Array, file: string): ConfigReader {
    const values = parseJson(bytes, file);
    if (!isObject(values)) {
      throw new SentvecError('invalid-model', `${file} does not hold a JSON object. Download the model again.`, {
        file,
      });
    }
    return new ConfigReader({ ...values }, file);
  }

  /** A text. @throws SentvecError `invalid-model` when it is not one, or is missing and has no fallback */
  text(key: string, fallback?: string): string {
    const value = this.#values[key] ?? fallback;
    if (typeof value === 'string') return value;
    throw this.#wrong(key, 'text', value);
  }

  /** A whole number from `smallest` (default 1) to `largest`. @throws SentvecError `invalid-model` */
  integer(key: string, { fallback, smallest = 1, largest = Infinity }: IntegerOptions = {}): number {
    const value = this.#values[key] ?? fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= smallest && value <= largest) return value;
    const bound = largest === Infinity ? `of at least ${smallest}` : `from ${smallest} to ${largest}`;
    throw this.#wrong(key, `a whole number ${bound}`, value);
  }

  /**
   * A number from 0 to less than 1: a rate, or the epsilon of a layer normalization. @throws SentvecError
   * `invalid-model`
   */
  fraction(key: string, fallback: number): number {
    const value = this.#values[key] ?? fallback;
    if (typeof value === 'number' && value >= 0 && value < 1) return value;
    throw this.#wrong(key, 'a number from 0 to 1', value);
  }

  /**
   * An activation, by its name in transformers. @throws SentvecError `unsupported-model` when there is none of that
   * name
   */
  activation(key: string, fallback: string): ActivationFunction {
    const name = this.text(key, fallback);
    const activation = hiddenActivations.get(name);
    if (activation !== undefined) return activation;
    const known = [...hiddenActivations.keys()].join(', ');
    throw this.unsupported(key, name, `Supported activations: ${known}.`);
  }

  /** The size of a head: `width` must be a multiple of the number of heads. @throws SentvecError `invalid-model` */
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
   * How many positions are left when numbering begins after that of the padding. @throws SentvecError `invalid-model`
   * when none is
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

  /** @throws SentvecError `unsupported-model` when the key is there with another value than these */
  onlySupports(key: string, ...values: readonly unknown[]): void {
    const value = this.#values[key] ?? values[0];
    if (!values.includes(value))
      throw this.unsupported(key, value, `sentvec supports ${values.map((each) => JSON.stringify(each)).join(', ')}.`);
  }

  /** The error for a value that is sound, but that sentvec does not have. */
  unsupported(key: string, value: unknown, remedy: string): SentvecError {
    return new SentvecError(
      'unsupported-model',
      `${this.file}: ${key} ${JSON.stringify(value)} is not supported. ${remedy}`,
      {
        file: this.file,
        key,
      },
    );
  }

  #wrong(key: string, expected: string, value: unknown): SentvecError {
    const found = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
    return new SentvecError('invalid-model', `${this.file}: "${key}" must be ${expected}, found ${found}.`, {
      file: this.file,
      key,
    });
  }
}
