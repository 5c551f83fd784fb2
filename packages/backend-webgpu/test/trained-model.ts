import { rm, writeFile } from 'node:fs/promises';
import { directoryModel } from '@sentvec/core/node';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';
import { jsonLines, samplePairs } from '../../training/test/sample-pairs.ts';
import { writeModelWithEverything } from '../../training/test/model-with-everything.ts';

/** Trains a few steps from a folder that has a self-check and ONNX files of its weights. */
export async function writeTrainedModel(folder: string): Promise<void> {
  const source = `${folder}-source`;
  const file = `${folder}.jsonl`;
  await writeModelWithEverything(source);
  await writeFile(file, jsonLines(samplePairs(40)));
  const config = {
    model: source,
    output: folder,
    data: [{ file, columns: ['a', 'b'], label: 'score', loss: 'CosineSimilarityLoss' }],
    batchSize: 8,
    learningRate: 1e-2,
    threads: 1,
  };
  await trainFromConfig(parseTrainingConfig(config, 'config.json'), { openModel: directoryModel });
  await rm(source, { recursive: true });
}
