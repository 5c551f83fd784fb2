// A source file of more than 60 lines begins with a sentence that says what it is.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { glob } from 'tinyglobby';
import { expect, it } from 'vitest';
import { root } from './packages.ts';

/** Lines that `// …` or a block comment at the very beginning of a file has. */
const opening = /^(?:(?:\/\/ .*\n)+|\/\*[^]*?\*\/\n)/u;

/** A comment without its marks, in one line. */
function textOf(comment: string): string {
  return comment
    .replaceAll(/^ ?(?:\/\/|\/?\*+\/?)|\*\/$/gmu, '')
    .replaceAll(/\s+/gu, ' ')
    .trim();
}

/** What is wrong with the beginning of a file; nothing when it says what the file is. */
function fault(source: string): string | undefined {
  const [comment = ''] = opening.exec(source) ?? [];
  if (comment === '') return 'begins with no comment';
  if (!/^[A-Z@`].*[.?](?: |$)/u.test(textOf(comment))) return 'begins with a comment that is not a sentence';
  if (
    comment.startsWith('/**') &&
    /^(?:export |declare |abstract |async )*(?:class|const|enum|function|interface|type) /u.test(
      source.slice(comment.length),
    )
  )
    return 'begins with the docstring of its first declaration';
  return undefined;
}

it('every source file of more than 60 lines begins with a sentence that says what it is', async () => {
  const paths = await glob(['packages/*/src/**/*.ts', 'apps/*/src/**/*.ts'], { cwd: root });
  expect(paths.length).toBeGreaterThan(100);
  const faults: string[] = [];
  for (const path of paths) {
    const source = await readFile(join(root, path), 'utf8');
    const found = source.trimEnd().split('\n').length > 60 ? fault(source) : undefined;
    if (found !== undefined) faults.push(`${path} ${found}`);
  }
  expect(faults.toSorted()).toEqual([]);
});
