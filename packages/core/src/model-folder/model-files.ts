/**
 * Implementations and wrappers of {@link ModelFiles}: files in memory, subfolders, cached lists and weights; and checks
 * of paths.
 */
import { sha256 } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';

/**
 * A model whose files are in memory, as bytes or as text (which is encoded as UTF-8).
 * @param name name of the model, for messages
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
 * A view of one folder of a model, as a model of its own.
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

/** A copy of a model with some of its methods replaced. */
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
    // If `read` is replaced, `openFile` of the original would give other contents.
    ...(files.openFile && changes.read === undefined && { openFile: (path: string) => files.openFile!(path) }),
    ...(files.related && { related: (name: string) => files.related!(name) }),
    ...changes,
  };
}

/**
 * A model with only some of the files of another one, and with replaced or added contents.
 * @param paths the files to keep; `contents` takes precedence over them
 * @param contents for each path, its new bytes, or the path of the original file to read instead
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
    // The folder on disk contains the original files.
    directory: undefined,
    ...(files.sha256 && {
      sha256: async (path: string) => {
        const bytes = bytesOf(path);
        return bytes === undefined ? files.sha256!(source(path)) : sha256(bytes);
      },
    }),
  };
}

/** The same model, whose files are listed only once. */
export function listedOnce(files: ModelFiles): ModelFiles {
  let listing: Promise<readonly string[]> | undefined;
  return withChanges(files, { list: () => (listing ??= files.list()) });
}

/**
 * The same model with a cache for its safetensors files, so that loading and the self-check do not download them twice.
 * Local files are not cached: reading them again saves memory.
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
  const isValid =
    !/^[a-z]:|[\0\\]/iu.test(path) &&
    path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
  if (isValid) return path;
  throw new SentvecError(
    'invalid-model',
    `${JSON.stringify(path)} is not a valid path of a file in a model: paths must be relative, with "/", and stay inside the model's folder.`,
    { file: path },
  );
}

/**
 * Joins a folder of a model and a path that one of its files contains. Both use `/`; the result has no `.` segments and
 * no `/` at either end. `''` is the model's own folder.
 * @param source the file that contains the path, for the message
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
    `${source} contains the path ${JSON.stringify(path)}. Paths in a model must be relative, with "/", and stay inside the model's folder.`,
    { file: source, path },
  );
}

/** The error of {@link ModelFiles.read} for a missing file. */
export function noSuchFile(model: string, path: string): SentvecError {
  return new SentvecError(
    'invalid-model',
    `The model ${model} has no file ${path}. Check that the folder is complete.`,
    {
      file: path,
    },
  );
}
