import type { ModelFiles } from '@sentvec/core';

/** A model whose files are downloaded once, however often it is loaded; each reader gets a copy. */
export function keepFiles(files: ModelFiles): ModelFiles {
  const contents = new Map<string, Promise<Uint8Array>>();
  let paths: Promise<readonly string[]> | undefined;
  return {
    name: files.name,
    list: () => (paths ??= files.list()),
    read: async (path) => {
      const content = contents.get(path) ?? files.read(path);
      contents.set(path, content);
      return (await content).slice();
    },
  };
}
