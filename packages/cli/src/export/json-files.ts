import { type ModelFiles, SentvecError } from '@sentvec/core';
import type { FileToWrite } from '../write-folder.ts';

/** A JSON file on its way. */
export function jsonFile(path: string, value: object): FileToWrite {
  return [path, async () => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)];
}

/** The JSON object in a file of a model, empty when there is no such file. @throws SentvecError `invalid-model` */
export async function readJsonObject(files: ModelFiles, path: string): Promise<Record<string, unknown>> {
  if (!(await files.list()).includes(path)) return {};
  const file = `${files.name}/${path}`;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(await files.read(path)));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new SentvecError('invalid-model', `${file} is not JSON. Download the model again.`, { file }, { cause });
  }
  throw new SentvecError('invalid-model', `${file} does not hold a JSON object. Download the model again.`, { file });
}
