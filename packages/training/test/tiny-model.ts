import { readEncoder } from '@sentvec/architectures';
import { readModelFolder } from '@sentvec/core';
import { goldenExpectation, goldenModel } from '@sentvec/testing';
import { trainableTensors } from '@sentvec/training';

/** A tiny trainable model, with the results of PyTorch for its texts and the names of all its weights. */
export async function tiny(name: string) {
  const folder = await readModelFolder(goldenModel(name));
  const model = { definition: await readEncoder(folder.encoderFiles), head: folder.head };
  const expected = goldenExpectation(name);
  return { model, expected, all: new Set(trainableTensors(model).map((tensor) => tensor.name)) };
}

type Cases = ReturnType<typeof goldenExpectation>['cases'];

/** Returns some of the texts as a column of a batch. */
export const column = (cases: Cases, rows: readonly number[]) => ({
  texts: rows.map((row) => ({
    ids: Int32Array.from(cases[row]!.ids),
    length: cases[row]!.ids.length,
    truncated: false,
  })),
});
