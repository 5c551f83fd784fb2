// Some things have one home in the packages, and everything else goes through it. Lint rules hold this for threads,
// renaming and onnxruntime-node; for the rest, this test finds every line that does the thing itself.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { glob } from 'tinyglobby';
import { expect, it } from 'vitest';
import { root } from './packages.ts';

interface Home {
  readonly thing: string;
  /** What only the home writes. */
  readonly written: RegExp;
  /** All files in which it may occur. The first is the home; the others have a reason of their own. */
  readonly files: readonly string[];
}

const homes: readonly Home[] = [
  {
    thing: 'syncing of files',
    written: /\.sync\(\)/u,
    // A download is synced where it ends, before the cache moves it into place.
    files: ['packages/platform/src/node/atomic-write.ts', 'packages/core/src/node/hub/blob.ts'],
  },
  {
    thing: 'remedy for a system error',
    written: /\bE(?:NOSPC|ROFS|MFILE)\b['"]?:/u,
    files: ['packages/platform/src/node/system-errors.ts'],
  },
  {
    thing: 'start of a worker thread',
    written: /\bexecArgv: \[\]/u,
    // A backend that is examined, and a text that may end its process, have processes of their own.
    files: [
      'packages/platform/src/node/threads.ts',
      'packages/cli/src/examine-backend.ts',
      'apps/worker/src/isolated-embedding.ts',
    ],
  },
  {
    thing: 'listener of an abort',
    written: /addEventListener\('abort'/u,
    files: ['packages/platform/src/abort.ts'],
  },
  {
    thing: 'name of the error of an abort',
    written: /'AbortError'/u,
    files: ['packages/platform/src/errors.ts'],
  },
  {
    thing: 'count of the tokens that pooling leaves out',
    written: /specialTokens\.suffix\.length > 0/u,
    files: ['packages/core/src/embedder/batching.ts'],
  },
  {
    thing: 'batches of similar length',
    written: /function planBatches/u,
    files: ['packages/core/src/embedder/batching.ts'],
  },
  { thing: 'padding of batches', written: /\.fill\(paddingId\)/u, files: ['packages/core/src/embedder/batching.ts'] },
  {
    thing: 'reader of CSV',
    written: /from 'csv-parse/u,
    files: ['packages/corpus/src/rows/decode.ts'],
  },
  {
    thing: 'reader of Parquet corpora',
    written: /\bparquetRead\b.* from 'hyparquet'/u,
    files: ['packages/corpus/src/parquet/parquet-worker.ts'],
  },
  {
    thing: 'JSON of a model folder',
    written: /JSON\.parse\(.*\.(?:read|decode)\(/u,
    files: ['packages/core/src/model-folder/json.ts'],
  },
  {
    thing: 'canonical JSON',
    written: /Object\.entries\(.*\.(?:toSorted|sort)\(|function canonicalJson/u,
    files: ['packages/platform/src/canonical-json.ts'],
  },
  {
    thing: 'warning',
    written: /process\??\.emitWarning\(|console\.warn\(/u,
    files: ['packages/platform/src/warnings.ts'],
  },
  {
    thing: 'compilation of WebAssembly',
    written: /WebAssembly\.(?:Module|Instance|compile|instantiate)|engine\.Module\(/u,
    files: ['packages/kernels/src/instantiate.ts'],
  },
  {
    thing: 'training engine',
    written: /implements TrainingEngine/u,
    files: ['packages/training/src/step/gradient-engine.ts'],
  },
  {
    thing: 'embedding of a corpus',
    written: /function\*? embedCorpus\(/u,
    files: ['packages/corpus/src/embed-corpus.ts'],
  },
  {
    thing: 'tokenizer of another library in JavaScript',
    written: /@huggingface\/(?:tokenizers|transformers)/u,
    files: [],
  },
  // A filter that asks for a column which is not there can be told in no other way.
  {
    thing: 'object that only looks like another',
    written: /new Proxy\(/u,
    files: ['packages/corpus/src/search/open-index.ts'],
  },
  { thing: 'method that makes an object look like a promise', written: /^ +(?:async )?then\(/u, files: [] },
];

// The contract suites are tests that are published: they may do by hand what they check.
const paths = await glob(['packages/*/src/**/*.ts', 'apps/*/src/**/*.ts'], {
  cwd: root,
  ignore: ['packages/testing/**'],
});
const sources = await Promise.all(
  paths.map(async (path) => [path, (await readFile(join(root, path), 'utf8')).split('\n')] as const),
);

it.each(homes)('one home: $thing', ({ written, files }) => {
  const found = sources.filter(([, lines]) => lines.some((line) => written.test(line))).map(([path]) => path);
  expect(found.toSorted()).toEqual(files.toSorted());
});

it('libraries speak of options: no message or comment of theirs names a flag of the command', async () => {
  const page = await readFile(join(root, 'packages/cli/src/corpus-arguments.ts'), 'utf8');
  const flags = [...page.matchAll(/^ {2}'?([a-z][a-z-]+)'?: \{/gmu)].map(([, name]) => `--${name}`);
  expect(flags).toContain('--resume');
  const named = sources
    .filter(([path]) => path.startsWith('packages/') && !path.startsWith('packages/cli/'))
    .flatMap(([path, lines]) =>
      lines.filter((line) => flags.some((flag) => line.includes(flag))).map((line) => [path, line]),
    );
  expect(named).toEqual([]);
});

it('the default of an option is in a tag of its docstring, which tools show', () => {
  const prose = sources
    .filter(([path]) => !path.startsWith('packages/cli/'))
    .flatMap(([path, lines]) =>
      lines.filter((line) => /^ +(?:\/\*)?\* (?!@).*\bDefaults? ?[:`'0-9a-z]/u.test(line)).map((line) => [path, line]),
    );
  expect(prose).toEqual([]);
});
