// Builds the workspace and runs a benchmark of bench/. `pnpm bench` embeds, `pnpm bench training` trains, `pnpm bench
// sts-b` fine-tunes on STS-B, `pnpm bench from-scratch` trains from random weights, `pnpm bench tfjs` embeds on
// WebAssembly, `pnpm bench queue` embeds through Redis, `pnpm bench load` starts processes, `pnpm bench
// late-interaction` ranks by token vectors, `pnpm bench rerank` with a cross-encoder, `pnpm bench sparse-index`
// searches sparse vectors, `pnpm bench long-texts` encodes long texts, `pnpm bench large-models` loads large models,
// `pnpm bench retrieval` evaluates a search by stages, `pnpm bench latency` times one query, `pnpm bench callers` many
// at once, `pnpm bench int8` quantizes, `pnpm bench nightly` embeds a corpus of which some rows have changed, `pnpm
// bench memory` and `pnpm bench event-loop` measure memory and the event loop. Options are passed on; `--help` lists
// them.
import { pnpm, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

const [first, ...rest] = process.argv.slice(2);
const others = {
  all: 'all.js',
  static: 'static.js',
  training: 'training.js',
  'from-scratch': 'from-scratch.js',
  'sts-b': 'sts-b.js',
  tfjs: 'tfjs.js',
  queue: 'queue.js',
  load: 'load.js',
  latency: 'latency.js',
  callers: 'callers.js',
  memory: 'memory.js',
  nightly: 'nightly.js',
  'event-loop': 'event-loop.js',
  int8: 'int8.js',
  'late-interaction': 'late-interaction.js',
  'sparse-index': 'sparse-index.js',
  rerank: 'rerank.js',
  retrieval: 'retrieval.js',
  'long-texts': 'long-texts.js',
  'large-models': 'large-models.js',
};
const [program, options] = Object.hasOwn(others, first ?? '')
  ? [others[first], rest]
  : ['main.js', process.argv.slice(2)];
// The compared libraries load onnxruntime-node too; disable its usage reports.
process.env.ORT_DISABLE_TELEMETRY ??= '1';
setUp();
pnpm('exec', 'tsc', '-b', 'bench');
run([process.execPath, `bench/dist/${program}`, ...options]);
