import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';

/**
 * A model whose files are in memory: bytes, or text that is encoded as UTF-8.
 * @param name how a person would name the model
 */
export function memoryModel(name: string, files: Readonly<Record<string, Uint8Array | string>>): ModelFiles {
  const contents = new Map(Object.entries(files).map(([path, content]) => [checkFilePath(path), content]));
  return {
    name,
    list: async () => [...contents.keys()].sort(),
    read: async (path) => {
      const content = contents.get(checkFilePath(path));
      if (content === undefined) throw noSuchFile(name, path);
      return typeof content === 'string' ? new TextEncoder().encode(content) : content;
    },
    size: async (path) => {
      const content = contents.get(checkFilePath(path));
      if (content === undefined) throw noSuchFile(name, path);
      return typeof content === 'string' ? new TextEncoder().encode(content).byteLength : content.byteLength;
    },
  };
}

/**
 * Checks the path of a file in a model, which may come from the model itself: relative, with `/`, inside the model.
 * @returns the path
 * @throws SentvecError `invalid-model`
 */
export function checkFilePath(path: string): string {
  const sound =
    !/^[a-z]:|[\0\\]/iu.test(path) &&
    path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
  if (sound) return path;
  throw new SentvecError(
    'invalid-model',
    `The path ${JSON.stringify(path)} cannot be a file of a model: such paths are relative, with "/", and stay inside the model's folder.`,
    { file: path },
  );
}

/** The error of {@link ModelFiles.read} for a file that is not there. */
export function noSuchFile(model: string, path: string): SentvecError {
  return new SentvecError('invalid-model', `The model ${model} has no file ${path}. Is the folder complete?`, {
    file: path,
  });
}
