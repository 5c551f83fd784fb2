import type { FileToWrite } from '../write-folder.ts';

/** A JSON file on its way. */
export function jsonFile(path: string, value: object): FileToWrite {
  return [path, async () => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)];
}
