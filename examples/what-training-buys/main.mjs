// Usage: node main.mjs [FOLDER]. Compares averaged token vectors and untrained encoders with trained ones, on two
// tasks. Prints a table and writes a plot to FOLDER/plot.html.
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { readSynsets, scoredDefinitions } from '@sentvec/example-wordnet';
import { useLite } from '@sentvec/model-use-lite';
import { evaluateRetrieval, evaluateSts, fromScratch, Random, retrievalTask } from '@sentvec/training';
import { loadTrainable, parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';
import { plotPage } from './plot.mjs';

const folder = resolve(process.argv[2] ?? 'what-training-buys');
const { PAIRS: count = '12000', JUDGED: judged = '1000' } = process.env;

console.log('Reading WordNet …');
const synsets = await readSynsets(['noun']);
const random = new Random(11);
const kept = random
  .shuffle(synsets.filter(({ words, definition }) => definition.length > 10 && !words[0].includes('(')))
  .slice(0, Number(count) + Number(judged));
const asPair = ({ words, definition }) => ({ words: words.slice(0, 3).join(', '), definition });
const [unseen, seen] = [kept.slice(0, Number(judged)).map(asPair), kept.slice(Number(judged)).map(asPair)];
const taught = new Set(seen.map(({ definition }) => definition));
const scored = scoredDefinitions(synsets, Number(judged) * 2, random).filter(
  ({ first, second }) => !taught.has(first) && !taught.has(second),
);
await mkdir(folder, { recursive: true });
await writeFile(join(folder, 'train.jsonl'), seen.map((pair) => `${JSON.stringify(pair)}\n`).join(''));
console.log(
  `${seen.length} pairs of words and their definition to train on; ${unseen.length} others and ${scored.length} scored pairs to evaluate with`,
);

const sts = {
  first: scored.map(({ first }) => first),
  second: scored.map(({ second }) => second),
  scores: Float32Array.from(scored, ({ score }) => score),
};
const search = retrievalTask(
  unseen.map(({ words }) => words),
  unseen.map(({ definition }) => definition),
);
const scratchConfig = { hidden_size: 256, num_hidden_layers: 2, intermediate_size: 512 };
const texts = seen.flatMap(({ words, definition }) => [words, definition]);

const results = [];
await compare(
  'raw token means',
  'the token table of the default model, averaged',
  tokenMeans(await loadTrainable(await useLite())),
);
await compareModel(
  'untrained encoder',
  'BERT with random weights',
  await fromScratch('untrained', texts, { config: scratchConfig }),
);
await compareModel(
  'trained from scratch',
  'the same BERT after training on the pairs',
  await trainOnPairs('scratch', { fromScratch: { config: scratchConfig } }, 1e-3),
);
await compareModel('default model', 'pretrained on other data', await useLite());
await compareModel(
  'default model, fine-tuned',
  'after training on the pairs',
  await trainOnPairs('fine-tuned', 'use-lite', 2e-4),
);

await writeFile(join(folder, 'plot.html'), plotPage(results));
console.log(`\n${'encoder'.padEnd(28)}similarity  search`);
for (const { name, similarity, retrieval } of results)
  console.log(`${name.padEnd(28)}${similarity.toFixed(3).padStart(10)}${retrieval.toFixed(3).padStart(8)}`);
console.log(
  `similarity: Spearman's correlation with WordNet; search: NDCG@10 of words among definitions. Plot: ${join(folder, 'plot.html')}`,
);

async function compare(name, what, embed) {
  const similarity = (await evaluateSts(embed, sts)).score;
  const retrieval = (await evaluateRetrieval(embed, search)).score;
  results.push({ name, what, similarity, retrieval });
  console.log(`${name} (${what}): similarity ${similarity.toFixed(3)}, search ${retrieval.toFixed(3)}`);
}

async function compareModel(name, what, model) {
  const embedder = await loadEmbedder(model, { backend: onnx() });
  await compare(name, what, async (list) => (await embedder.embed(list)).vectors);
  await embedder.dispose();
}

/**
 * Trains with in-batch negatives: the model learns to distinguish each definition from those of the other words in the
 * batch.
 */
async function trainOnPairs(output, model, learningRate) {
  console.log(`Training: ${output} …`);
  const data = [{ file: 'train.jsonl', columns: ['words', 'definition'], loss: 'MultipleNegativesRankingLoss' }];
  const config = parseTrainingConfig({ model, output, data, epochs: 2, batchSize: 64, learningRate }, 'config');
  const trained = await trainFromConfig(config, {
    openModel: () => useLite(),
    directory: folder,
    onProgress: ({ step, totalSteps, loss }) => {
      if (step % 50 === 0) console.log(`  step ${step} of ${totalSteps}, loss ${loss.toFixed(3)}`);
    },
  });
  return trained.output;
}

/** Returns the mean of the input embeddings of the tokens of a text, before any layer. */
function tokenMeans({ model: { definition }, reader }) {
  const table = definition.weight(definition.tokenTable);
  const [, width] = definition.weights.get(definition.tokenTable);
  return async (list) => {
    const tokenized = await reader.tokenizer.encode(list, reader);
    const data = new Float32Array(list.length * width);
    for (const [row, { ids }] of tokenized.entries()) {
      for (const id of ids) for (let i = 0; i < width; i++) data[row * width + i] += table[id * width + i] / ids.length;
    }
    return { data, rows: list.length, cols: width };
  };
}
