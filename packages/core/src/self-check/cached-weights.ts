import type { ModelFiles } from '../types.ts';

/**
 * The files of a model, remembering its safetensors once they were read, so that what is loaded from them and checked
 * against them is not downloaded twice. Files on this disk are read again instead: they take no memory then.
 */
export function keepWeights(files: ModelFiles): ModelFiles {
  if (files.directory !== undefined) return files;
  const kept = new Map<string, Promise<Uint8Array>>();
  const read = (path: string): Promise<Uint8Array> => {
    if (!path.endsWith('.safetensors')) return files.read(path);
    const known = kept.get(path) ?? files.read(path);
    kept.set(path, known);
    return known;
  };
  return { ...files, read };
}
