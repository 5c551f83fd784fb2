// Embeds the paragraphs of Moby Dick and searches them by meaning, with the commands of the CLI.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readParagraphs } from './read-paragraphs.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const program = fileURLToPath(new URL('../bin/sentvec.mjs', import.meta.url));
const output = 'demo-output';
const corpus = `${output}/moby-dick.jsonl`;
const vectors = `${output}/vectors`;
const queries = [
  'Why is the color white so frightening?',
  'sharing a bed with a stranger',
  'a storm at sea with lightning',
];

function print(text) {
  process.stdout.write(`${text}\n`);
}

function sentvec(...words) {
  const shown = words.map((word) => (/[^\w./,-]/.test(word) ? `"${word}"` : word)).join(' ');
  print(`\n$ npx sentvec ${shown}`);
  const { status } = spawnSync(process.execPath, [program, ...words], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const paragraphs = readParagraphs();
mkdirSync(join(root, output), { recursive: true });
writeFileSync(join(root, corpus), paragraphs.map((paragraph) => `${JSON.stringify(paragraph)}\n`).join(''));
print(`Moby Dick: ${paragraphs.length} paragraphs in ${corpus}`);

sentvec('embed', corpus, '--id', 'id', '--columns', 'text,chapter', '--output', vectors, '--overwrite');
for (const query of queries) sentvec('search', vectors, query, '-k', '3');

print(`
The files:
  ${corpus}        the paragraphs
  ${vectors}/*.parquet       their vectors, with ids and texts
  ${vectors}/manifest.json   model, fingerprint of the space, a hash of each file

Next:
  npx sentvec search ${vectors} "fear of the sea" -k 10
  npx sentvec similarity "the white whale" "a great fish" "interest rates"
  npx sentvec embed README.md --split paragraph --output ${output}/readme
  npx sentvec --help`);
