import { joinModelPath } from './model-path.ts';
import type { ModelFiles } from '../types.ts';

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
  };
}
