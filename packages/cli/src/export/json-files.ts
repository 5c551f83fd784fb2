import type { FolderFile } from '@sentvec/platform/node';

/** A JSON file on its way. */
export function jsonFile(path: string, value: object): FolderFile {
  return [path, async () => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)];
}
