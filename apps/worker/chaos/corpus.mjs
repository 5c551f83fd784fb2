import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';

const words =
  'the sea was calm that night and nobody on board had slept when a light rose out of the fog far ahead of us'.split(
    ' ',
  );

/** Writes a JSON Lines corpus with texts of different lengths, in constant memory. */
export async function writeCorpus(path, rows) {
  const file = createWriteStream(path);
  for (let row = 0; row < rows; row += 1) {
    const text = `${row} ${words.slice(0, 3 + ((row * 7) % (words.length - 3))).join(' ')}`;
    if (!file.write(`${JSON.stringify({ text })}\n`)) await once(file, 'drain');
  }
  file.end();
  await finished(file);
}

/** Returns the SHA-256 hash of every file in a folder, as `{ [name]: hash }`. */
export async function hashes(folder) {
  const entries = [];
  for (const name of (await readdir(folder)).sort()) {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(join(folder, name))) hash.update(chunk);
    entries.push([name, hash.digest('hex')]);
  }
  return Object.fromEntries(entries);
}
