import { SentvecError } from '../errors.ts';

/**
 * Joins a folder inside a model and a path that a file of the model names. Both use `/`; the result has no `.`, and no
 * `/` at either end. `''` is the model's own folder.
 * @param source the file that names the path, for the message
 * @throws SentvecError `invalid-model` when the path is absolute or leaves the model
 */
export function joinModelPath(folder: string, path: string, source: string): string {
  const segments = folder === '' ? [] : folder.split('/');
  if (/^[/\\]|^[a-z]:|[\0\\]/iu.test(path)) throw leavesModel(path, source);
  for (const segment of path.split('/')) {
    if (segment === '..') throw leavesModel(path, source);
    if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return segments.join('/');
}

function leavesModel(path: string, source: string): SentvecError {
  return new SentvecError(
    'invalid-model',
    `${source} names the path ${JSON.stringify(path)}. Paths in a model must be relative, with "/", and stay inside the model's folder.`,
    { file: source, path },
  );
}
