/** Typed, checked reading of the values of a configuration. */
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { isObject, readJsonObject } from './json.ts';

/** A JSON object of a model folder, read value by value. `null` counts as absent. */
export class ConfigFile {
  /** Name of the file for messages. */
  readonly file: string;
  readonly values: Readonly<Record<string, unknown>>;

  constructor(file: string, values: Readonly<Record<string, unknown>>) {
    this.file = file;
    this.values = values;
  }

  /** @throws SentvecError `invalid-model` when the value is present and not a string; the other methods likewise */
  string(key: string): string | undefined {
    return this.#read(key, 'a string', (value) => typeof value === 'string');
  }

  boolean(key: string): boolean | undefined {
    return this.#read(key, 'true or false', (value) => typeof value === 'boolean');
  }

  /** A whole number of at least 1. */
  size(key: string): number | undefined {
    return this.#read(
      key,
      'a whole number from 1',
      (value): value is number => Number.isSafeInteger(value) && Number(value) >= 1,
    );
  }

  number(key: string): number | undefined {
    return this.#read(key, 'a number', (value) => typeof value === 'number');
  }

  object(key: string): ConfigFile | undefined {
    const value = this.#read(key, 'an object', isObject);
    return value && new ConfigFile(this.file, value);
  }

  /** @throws SentvecError `invalid-model` when the value is absent */
  required<Value>(key: string, value: Value | undefined): Value {
    if (value !== undefined) return value;
    throw new SentvecError('invalid-model', `${this.file} has no "${key}".`, { file: this.file });
  }

  #read<Value>(key: string, kind: string, is: (value: unknown) => value is Value): Value | undefined {
    const value = Object.hasOwn(this.values, key) ? this.values[key] : undefined;
    if (value === undefined || value === null) return undefined;
    if (is(value)) return value;
    throw new SentvecError(
      'invalid-model',
      `"${key}" in ${this.file} must be ${kind}, not ${JSON.stringify(value).slice(0, 200)}.`,
      {
        file: this.file,
      },
    );
  }
}

/**
 * The JSON object at `path`; `undefined` when there is no such file.
 * @throws SentvecError `invalid-model` when the file is not a JSON object
 */
export async function readConfigFile(files: ModelFiles, path: string): Promise<ConfigFile | undefined> {
  const values = await readJsonObject(files, path);
  return values && new ConfigFile(`${files.name}/${path}`, values);
}

/**
 * The JSON object at `path`.
 * @throws SentvecError `invalid-model` when there is no such file
 */
export async function requireConfigFile(files: ModelFiles, path: string): Promise<ConfigFile> {
  const config = await readConfigFile(files, path);
  if (config !== undefined) return config;
  const file = `${files.name}/${path}`;
  throw new SentvecError('invalid-model', `${file} is missing. Check that the folder is complete.`, { file });
}
