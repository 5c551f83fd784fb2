// The page "Speed" of the docs shows the newest results of the bench.
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { speedPage, speedPageFile } from '../bench/src/speed-page.ts';

it('the page "Speed" is made from the newest file in bench/results/', async () => {
  expect(await readFile(speedPageFile, 'utf8')).toBe(await speedPage());
});
