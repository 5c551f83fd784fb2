// Compares static models with their tokenizer alone. Vectors are only looked up and averaged, so the tokenizer
// determines the speed.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory, directoryModel, loadEmbedder, nodeTokenizer } from '@sentvec/core/node';
import { readTokenizerDefinition, writeSafetensors } from '@sentvec/core';
import { writeFolderAtomically } from '@sentvec/platform/node';
import { stat } from 'node:fs/promises';
import { miniLm } from './models/mini-lm.ts';
import { randomNumbers, uniform } from './random-numbers.ts';
import { printReport } from './report.ts';
import { median, medianRatio, roundsOf, timeInTurns } from './rounds.ts';
import { workloads } from './workloads/index.ts';

const usage = `pnpm bench static [--rounds N] [--json]

Embeds texts with a static model (a token table of 30,522 × 256 random numbers), in turns with the native tokenizer alone.
--rounds  rounds that count; default 9
--json    print JSON
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(roundsOf(values.rounds));

async function main(rounds: number): Promise<void> {
  const folder = await prepare(join(cacheDirectory(), 'bench'));
  const tokenizer = await nodeTokenizer('native')(await readTokenizerDefinition(await directoryModel(folder)));
  const embedder = await loadEmbedder(folder, { tokenizer: nodeTokenizer('native') });
  const results = [];
  for (const workload of workloads) {
    const texts = await workload.texts();
    const timings = await timeInTurns(
      [
        { name: 'sentvec', run: async () => void (await embedder.embed(texts)) },
        { name: 'tokenizer', run: async () => void (await tokenizer.encode(texts, { maxLength: 512 })) },
      ],
      rounds,
    );
    const perSecond = (name: string): number => (1000 * texts.length) / median(timings.get(name)!);
    results.push({
      workload: workload.name,
      texts: texts.length,
      sentvec: perSecond('sentvec'),
      tokenizer: perSecond('tokenizer'),
      ratio: medianRatio(timings, 'tokenizer', 'sentvec'),
    });
  }
  await Promise.all([tokenizer.dispose(), embedder.dispose()]);
  const header = ['workload', 'texts', 'sentvec, texts/s', 'native tokenizer alone, texts/s', 'of the tokenizer'];
  const rows = results.map((each) => [
    each.workload,
    String(each.texts),
    each.sentvec.toFixed(0),
    each.tokenizer.toFixed(0),
    `${(100 * each.ratio).toFixed(0)} %`,
  ]);
  printReport({ method: `medians of ${rounds} rounds`, tables: [{ header, rows }], results }, values.json);
}

/** Creates a StaticEmbedding folder with the tokenizer of {@link miniLm}. */
async function prepare(directory: string): Promise<string> {
  const folder = join(directory, 'static-256-random-1');
  if ((await stat(folder).catch(() => undefined)) !== undefined) return folder;
  const base = await directoryModel(await miniLm.prepare(directory));
  const [rows, cols] = [30_522, 256];
  const data = randomNumbers(rows * cols, 0.05, uniform(3));
  await writeFolderAtomically(folder, [
    [
      'modules.json',
      JSON.stringify([{ idx: 0, name: '0', path: '', type: 'sentence_transformers.models.StaticEmbedding' }]),
    ],
    ['tokenizer.json', await base.read('tokenizer.json')],
    ['model.safetensors', writeSafetensors({ 'embedding.weight': { shape: [rows, cols], data } }, { format: 'pt' })],
  ]);
  return folder;
}
