/** The entries of `modules.json`. */
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { joinModelPath } from './model-files.ts';
import { ConfigFile } from './config-file.ts';
import { isObject, readJson } from './json.ts';

/** One entry of `modules.json`. */
export interface ModelModule {
  /** The last segment of the class path: `Pooling` of `sentence_transformers.models.Pooling`. */
  readonly kind: string;
  /** The whole class path. */
  readonly type: string;
  /** The module's folder inside the model; `''` is the model's own. */
  readonly path: string;
}

/** The path of a file in a module's folder. */
export function filePath(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** The last segment of a dotted class path. */
export function lastSegment(classPath: string): string {
  return classPath.slice(classPath.lastIndexOf('.') + 1);
}

/**
 * The modules of a sentence-transformers folder in order; `undefined` when it has no `modules.json`.
 * @throws SentvecError `invalid-model` when the file is broken or a path leaves the model
 */
export async function readModules(files: ModelFiles): Promise<readonly ModelModule[] | undefined> {
  const entries = await readJson(files, 'modules.json');
  if (entries === undefined) return undefined;
  const file = `${files.name}/modules.json`;
  if (!Array.isArray(entries) || entries.length === 0 || !entries.every(isObject)) {
    throw new SentvecError('invalid-model', `${file} must contain a list of modules.`, { file });
  }
  return entries.map((values) => {
    const entry = new ConfigFile(file, values);
    const type = entry.required('type', entry.string('type'));
    return {
      kind: lastSegment(type),
      type,
      path: joinModelPath('', entry.required('path', entry.string('path')), file),
    };
  });
}
