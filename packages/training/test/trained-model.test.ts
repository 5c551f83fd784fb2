// Tests the files of a trained model of every architecture: the names of the weights and the configuration must be
// those of the original, so that other libraries can load them. Such folders were also checked with
// sentence-transformers, which computed the same vectors.
import { readEncoder } from '@sentvec/architectures';
import { memoryModel, readJsonObject, readModelFolder, readWeights, subfolder } from '@sentvec/core';
import { goldenArchitectureNames, goldenModel, goldenModelNames } from '@sentvec/testing';
import { trainableTensors } from '@sentvec/training';
import { expect, test } from 'vitest';
import { trainedModelFiles } from '../src/trained-model.ts';

/** A folder with task adapters is loaded for one task, whose adapter is merged and whose other adapters are dropped. */
const names = [...goldenModelNames, ...goldenArchitectureNames].filter((name) => name !== 'tiny-jina3-tasks');

test.each(names)(
  '%s: the trained folder has the original names and configuration, and the trained weights',
  async (name) => {
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
    // Older files contain position ids, which are not weights.
    const weights = before.names().filter((tensor) => !before.type(tensor).startsWith('I'));
    expect(after.names().toSorted()).toEqual(weights.toSorted());

    const head = (await readModelFolder(written)).head;
    const read = trainableTensors({ definition: await readEncoder(encoder), head });
    expect(new Map(read.map((tensor) => [tensor.name, tensor.data]))).toEqual(trained);
  },
);
