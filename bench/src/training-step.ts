// Runs the training steps of training.ts on onnxruntime in a separate process. It reads a request as one line of JSON,
// and writes the result as one line. training_step.py does the same with PyTorch.
import { createInterface } from 'node:readline';
import { directoryModel } from '@sentvec/core/node';
import { lossFromName, makeBatch, recordGraphs, trainableTensors } from '@sentvec/training';
import { loadTrainable, onnxEngine } from '@sentvec/training/node';

/**
 * The steps to time. Labelled batches are trained with CosineSimilarityLoss, others with MultipleNegativesRankingLoss.
 */
export interface StepRequest {
  readonly folder: string;
  readonly threads: number;
  readonly batches: readonly { readonly a: number[][]; readonly b: number[][]; readonly labels: number[] | null }[];
}

/** The milliseconds and the loss of each step. */
export interface Answer {
  readonly losses: readonly number[];
  readonly milliseconds: readonly number[];
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line) as StepRequest)));
  break;
}

async function answer({ folder, threads, batches }: StepRequest): Promise<Answer> {
  const { model, dimension, reader } = await loadTrainable(await directoryModel(folder));
  const loss = lossFromName(batches[0]?.labels ? 'CosineSimilarityLoss' : 'MultipleNegativesRankingLoss');
  const trained = new Set(trainableTensors(model).map(({ name }) => name));
  const objectives = [{ loss, columns: 2 }];
  const engine = onnxEngine(recordGraphs(model, dimension, { objectives, trained, dropout: false }), { threads });
  const texts = (ids: readonly number[][]) => ({
    texts: ids.map((list) => ({ ids: Int32Array.from(list), length: list.length, truncated: false })),
  });
  const losses: number[] = [];
  const milliseconds: number[] = [];
  for (const { a, b, labels } of batches) {
    const start = performance.now();
    const batch = makeBatch([texts(a), texts(b)], labels ? Float32Array.from(labels) : undefined);
    losses.push((await engine.step({ batches: [batch], learningRate: 1e-5 })).loss);
    milliseconds.push(performance.now() - start);
  }
  await engine.dispose();
  await reader.tokenizer.dispose();
  return { losses, milliseconds };
}
