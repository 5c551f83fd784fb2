// The files of a trained model of every architecture: other libraries find the weights by the names and the
// configuration of the original. Real sentence-transformers gave the vectors of ours for folders made this way.
import { readEncoder } from '@sentvec/architectures';
import { memoryModel, readJsonObject, readModelFolder, readWeights, subfolder } from '@sentvec/core';
import { goldenArchitectureNames, goldenModel, goldenModelNames } from '@sentvec/testing';
import { trainableTensors } from '@sentvec/training';
import { expect, test } from 'vitest';
import { trainedModelFiles } from '../src/trained-model.ts';

/** A folder with an adapter for each task is loaded for one of them, which takes the others away. */
const names = [...goldenModelNames, ...goldenArchitectureNames].filter((name) => name !== 'tiny-jina3-tasks');

test.each(names)('%s: the original names and configuration, the trained numbers', async (name) => {
  const files = goldenModel(name);
  const folder = await readModelFolder(files);
  const model = { definition: await readEncoder(folder.encoderFiles), head: folder.head };
  const trained = new Map(trainableTensors(model).map((tensor) => [tensor.name, tensor.data.map((x) => x + 1)]));
  const written = memoryModel(name, await trainedModelFiles(files, model, trained));

  const encoder = subfolder(written, folder.encoderPath);
  const { dtype: _, torch_dtype: __, ...config } = (await readJsonObject(encoder, 'config.json'))!;
  const { dtype: ___, torch_dtype: ____, ...original } = (await readJsonObject(folder.encoderFiles, 'config.json'))!;
  expect(config).toEqual(original);
  const [before, after] = [await readWeights(folder.encoderFiles), await readWeights(encoder)];
  // Older files list the positions, which are no weights.
  const weights = before.names().filter((tensor) => !before.type(tensor).startsWith('I'));
  expect(after.names().toSorted()).toEqual(weights.toSorted());

  const head = (await readModelFolder(written)).head;
  const read = trainableTensors({ definition: await readEncoder(encoder), head });
  expect(new Map(read.map((tensor) => [tensor.name, tensor.data]))).toEqual(trained);
});
