import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';

/** A model's files, with their list read once. */
export interface ListedFiles {
  readonly files: ModelFiles;
  readonly present: ReadonlySet<string>;
}

/** Lists the files of a model. */
export async function listFiles(files: ModelFiles): Promise<ListedFiles> {
  return { files, present: new Set(await files.list()) };
}

/** A JSON object of a model folder, read value by value. `null` counts as absent. */
export class ConfigFile {
  /** The file as a person would name it. */
  readonly file: string;
  readonly values: Readonly<Record<string, unknown>>;

  constructor(file: string, values: Readonly<Record<string, unknown>>) {
    this.file = file;
    this.values = values;
  }

  /** @throws SentvecError `invalid-model` when the value is there and no string; likewise for the other readers */
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
 * The JSON file at `path`, whatever it holds; `undefined` when there is no such file.
 * @throws SentvecError `invalid-model` when it is not JSON
 */
export async function readJson({ files, present }: ListedFiles, path: string): Promise<unknown> {
  if (!present.has(path)) return undefined;
  const bytes = await files.read(path);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    const file = `${files.name}/${path}`;
    throw new SentvecError(
      'invalid-model',
      `${file} is not JSON. Was it cut short? Download the model again.`,
      { file },
      { cause },
    );
  }
}

/**
 * The JSON object at `path`; `undefined` when there is no such file.
 * @throws SentvecError `invalid-model` when it is something else
 */
export async function readConfigFile(listed: ListedFiles, path: string): Promise<ConfigFile | undefined> {
  const values = await readJson(listed, path);
  if (values === undefined) return undefined;
  const file = `${listed.files.name}/${path}`;
  if (isObject(values)) return new ConfigFile(file, values);
  throw new SentvecError('invalid-model', `${file} must hold a JSON object.`, { file });
}

/**
 * The JSON object at `path`.
 * @throws SentvecError `invalid-model` when there is none
 */
export async function requireConfigFile(listed: ListedFiles, path: string): Promise<ConfigFile> {
  const config = await readConfigFile(listed, path);
  if (config !== undefined) return config;
  const file = `${listed.files.name}/${path}`;
  throw new SentvecError('invalid-model', `${file} is missing. Is the folder complete?`, { file });
}

/** Whether a JSON value is an object, no array and not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
