import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { directoryModel } from './directory-model.ts';
import { hubModel, type HubModelOptions } from './hub/hub-model.ts';

/** Options of {@link openModel}: those of the hub. */
export type OpenModelOptions = HubModelOptions;

/**
 * Finds a model by what a person calls it: a folder that exists, else a repository of the Hugging Face hub (`org/name`,
 * or a bare `name`), from its cache or downloaded.
 * @throws SentvecError `model-not-found`, and those of `hubModel`
 */
export async function openModel(name: string, options: OpenModelOptions = {}): Promise<ModelFiles> {
  const stats = await stat(name).catch(() => undefined);
  if (stats) return directoryModel(name);
  if (looksLikePath(name))
    throw new SentvecError(
      'model-not-found',
      `There is no model folder ${name}. Check the path, or name a model of the Hugging Face hub as "organization/name".`,
      { file: name },
    );
  return hubModel(name, options);
}

/** Names on the hub are one or two segments of letters, digits, `-`, `_` and `.`. */
function looksLikePath(name: string): boolean {
  return isAbsolute(name) || /^[.~]/u.test(name) || !/^[\w.-]+(?:\/[\w.-]+)?$/u.test(name);
}
