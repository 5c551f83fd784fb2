/** Files of a model: in memory, in a folder of another model, with answers remembered; and the paths that they have. */
import { sha256 } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';

/**
 * A model whose files are in memory: bytes, or text that is encoded as UTF-8.
 * @param name how a person would name the model
 */
export function memoryModel(name: string, files: Readonly<Record<string, Uint8Array | string>>): ModelFiles {
  const contents = new Map(Object.entries(files).map(([path, content]) => [checkFilePath(path), content]));
  const read = async (path: string): Promise<Uint8Array> => {
    const content = contents.get(checkFilePath(path));
    if (content === undefined) throw noSuchFile(name, path);
    return typeof content === 'string' ? new TextEncoder().encode(content) : content;
  };
  return {
    name,
    list: async () => [...contents.keys()].sort(),
    read,
    size: async (path) => (await read(path)).byteLength,
  };
}

/**
 * The files below a folder of a model, as files of a model of their own.
 * @param path relative, with `/`; `''` and `.` are the model itself
 * @throws SentvecError `invalid-model` when the path leaves the model
 */
export function subfolder(files: ModelFiles, path: string): ModelFiles {
  const folder = joinModelPath('', path, files.name);
  if (folder === '') return files;
  const inFolder = (file: string): string => joinModelPath(folder, file, files.name);
  return {
    name: `${files.name}/${folder}`,
    revision: files.revision,
    directory: files.directory && `${files.directory}/${folder}`,
    list: async () =>
      (await files.list()).filter((file) => file.startsWith(`${folder}/`)).map((file) => file.slice(folder.length + 1)),
    read: async (file) => files.read(inFolder(file)),
    ...(files.sha256 && { sha256: async (file: string) => files.sha256!(inFolder(file)) }),
    ...(files.size && { size: async (file: string) => files.size!(inFolder(file)) }),
    ...(files.openFile && { openFile: async (file: string) => files.openFile!(inFolder(file)) }),
  };
}

/** The same model with another way to list or to read its files, or to find others. */
export function withChanges(
  files: ModelFiles,
  changes: Partial<Pick<ModelFiles, 'list' | 'read' | 'size' | 'related'>>,
): ModelFiles {
  return {
    name: files.name,
    revision: files.revision,
    directory: files.directory,
    list: () => files.list(),
    read: (path) => files.read(path),
    ...(files.sha256 && { sha256: (path: string) => files.sha256!(path) }),
    ...(files.size && { size: (path: string) => files.size!(path) }),
    // A changed `read` may give other contents, which `openFile` would not.
    ...(files.openFile && changes.read === undefined && { openFile: (path: string) => files.openFile!(path) }),
    ...(files.related && { related: (name: string) => files.related!(name) }),
    ...changes,
  };
}

/**
 * The same model with only some of its files, and some of those with other contents.
 * @param paths those that stay as they are, unless they are among the contents
 * @param contents bytes, or the path of the file that replaces it
 */
export function withReplacedFiles(
  files: ModelFiles,
  paths: readonly string[],
  contents: ReadonlyMap<string, Uint8Array | string>,
): ModelFiles {
  const bytesOf = (path: string): Uint8Array | undefined => {
    const content = contents.get(path);
    return typeof content === 'string' ? undefined : content;
  };
  const source = (path: string): string => {
    const content = contents.get(path);
    return typeof content === 'string' ? content : path;
  };
  return {
    ...withChanges(files, {
      list: async () => [...new Set([...paths, ...contents.keys()])].sort(),
      read: async (path) => bytesOf(path) ?? files.read(source(path)),
      ...(files.size && { size: async (path: string) => bytesOf(path)?.length ?? files.size!(source(path)) }),
    }),
    // The folder on this disk has other files.
    directory: undefined,
    ...(files.sha256 && {
      sha256: async (path: string) => {
        const bytes = bytesOf(path);
        return bytes === undefined ? files.sha256!(source(path)) : sha256(bytes);
      },
    }),
  };
}

/** The same model, asked for the list of its files once. */
export function listedOnce(files: ModelFiles): ModelFiles {
  let listing: Promise<readonly string[]> | undefined;
  return withChanges(files, { list: () => (listing ??= files.list()) });
}

/**
 * The same model, remembering its safetensors once they were read, so that what is loaded from them and checked against
 * them is not downloaded twice. Files on this disk are read again instead: they take no memory then.
 */
export function withCachedWeights(files: ModelFiles): ModelFiles {
  if (files.directory !== undefined) return files;
  const cached = new Map<string, Promise<Uint8Array>>();
  const read = (path: string): Promise<Uint8Array> => {
    if (!path.endsWith('.safetensors')) return files.read(path);
    const known = cached.get(path) ?? files.read(path);
    cached.set(path, known);
    return known;
  };
  return withChanges(files, { read });
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

/** The error of {@link ModelFiles.read} for a file that is not there. */
export function noSuchFile(model: string, path: string): SentvecError {
  return new SentvecError('invalid-model', `The model ${model} has no file ${path}. Is the folder complete?`, {
    file: path,
  });
}
