import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { SentvecError } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import {
  parseTrainingConfig,
  trainFromConfig,
  type TrainedFolder,
  type TrainFromConfigOptions,
} from '@sentvec/training/node';
import { jsonLines, samplePairs } from './sample-pairs.ts';

/** Columns and label of `pairs.jsonl`, which is in every training folder. */
export const pairs = { file: 'pairs.jsonl', columns: ['a', 'b'], label: 'score' };

/** A temporary folder for one test file, deleted at the end. */
export class TrainingFolder {
  path = '';

  constructor() {
    beforeAll(async () => {
      this.path = await mkdtemp(join(tmpdir(), 'sentvec-train-'));
      await this.write('pairs.jsonl', jsonLines(samplePairs(160)));
    });
    afterAll(() => rm(this.path, { recursive: true, force: true }));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async write(name: string, content: string): Promise<string> {
    await writeFile(this.file(name), content);
    return name;
  }

  /** Returns a small valid configuration with changes. One thread is enough for a model of this size. */
  config(output: string, changes: object = {}): object {
    return {
      model: goldenPath('models/tiny-bert-multipool'),
      output,
      data: [{ ...pairs, loss: 'CosineSimilarityLoss' }],
      evaluation: { ...pairs, type: 'sts' },
      epochs: 2,
      batchSize: 8,
      learningRate: 1e-3,
      threads: 1,
      ...changes,
    };
  }

  run(config: unknown, options: Partial<TrainFromConfigOptions> = {}): Promise<TrainedFolder> {
    return trainFromConfig(parseTrainingConfig(config, 'config.json'), {
      openModel: directoryModel,
      directory: this.path,
      ...options,
    });
  }
}

/** Returns the error with which a promise rejects. */
export async function errorOf(work: () => Promise<unknown>): Promise<SentvecError> {
  const error: unknown = await work().catch((caught: unknown) => caught);
  if (SentvecError.is(error)) return error;
  throw new Error(`Expected a SentvecError, got ${String(error)}`);
}
