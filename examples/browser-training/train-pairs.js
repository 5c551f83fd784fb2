import { readEncoder } from '@sentvec/architectures';
import { javaScriptTokenizer, projectionOutputSize, readModelFolder, readTokenizerDefinition } from '@sentvec/core';
import { cosineSimilarityLoss, inOrder, recordGraphs, train, trainableTensors } from '@sentvec/training';
import { pairs } from './pairs.js';

/**
 * Opens a model folder, makes an engine of its step graphs by the function that is given, and trains for 20 steps.
 * Runs in pages and in Node.
 */
export async function trainPairs(files, openEngine, onProgress) {
  const { encoderFiles, head, lowerCase, maxLength, addSpecialTokens } = await readModelFolder(files);
  const definition = await readEncoder(encoderFiles);
  const tokenizer = await javaScriptTokenizer(await readTokenizerDefinition(encoderFiles, { lowercase: lowerCase }));
  const reader = {
    tokenizer,
    addSpecialTokens,
    maxLength: Math.min(maxLength ?? Infinity, definition.maxPositions),
    pooling: head.pooling,
  };

  const model = { definition, head };
  const loss = cosineSimilarityLoss();
  const dimension = head.projections.reduce(
    (size, projection) => projectionOutputSize(projection, size),
    head.pooling.outputSize(definition.hiddenSize),
  );
  const trained = new Set(trainableTensors(model).map(({ name }) => name));
  const engine = await openEngine(
    recordGraphs(model, dimension, { objectives: [{ loss, columns: 2 }], trained, dropout: false }),
  );

  const columns = [0, 1].map((column) => pairs.map((pair) => pair[column]));
  const examples = { columns, labels: Float32Array.from(pairs, ([, , label]) => label) };
  // In the same batches each time: a GPU compiles its kernels again for each number of tokens.
  const set = { name: 'pairs', examples, loss, sampler: inOrder };
  const options = { epochs: 5, maxSteps: 20, batchSize: 4, learningRate: 2e-4 };
  try {
    return await train({ engine, reader, sets: [set], options, onProgress });
  } finally {
    await engine.dispose();
  }
}
