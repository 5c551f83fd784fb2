import * as v from 'valibot';
import { SentvecError } from '@sentvec/core';
import { lossFromName } from '../losses/loss-from-name.ts';
import type { Loss } from '../loss.ts';
import type { ColumnName } from './read-table.ts';

const positive = v.pipe(v.number(), v.gtValue(0));
const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const column = v.union([v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))]);

/** One data set of a configuration. */
export interface DataConfig {
  /** JSON lines, CSV, TSV or Parquet, plain or gzip. */
  readonly file: string;
  /** The columns of texts, in the order the loss wants them: names, or numbers counted from 0 for a file without a header. */
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  /** Labels are divided by it: 5 for scores from 0 to 5. Default 1. */
  readonly labelScale: number;
  /** Whether the first row of a CSV holds names. Default true. */
  readonly header: boolean;
  /** A class name of sentence-transformers; see `lossNames`. */
  readonly loss: string;
  readonly lossParameters: Readonly<Record<string, unknown>>;
  readonly sampler?: 'shuffled' | 'inOrder' | 'noDuplicates' | 'groupedByLabel' | 'byLength' | undefined;
  /** Names of prompts of the model, one for each column; null for none. */
  readonly prompts?: readonly (string | null)[] | undefined;
}

/** What a model is judged by while it trains. */
export interface EvaluationConfig {
  /** `sts`: Spearman of cosine and label. `triplet`: share of anchors nearer to their positive than to their negative. */
  readonly type: 'sts' | 'triplet';
  readonly file: string;
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  readonly header: boolean;
}

/** A training configuration as in a file, checked, with defaults. Options of `train` mean what they mean there. */
export interface TrainingConfig {
  /** A folder, a name on the Hugging Face hub, or use-lite, the default model. */
  readonly model: string;
  /** The folder that gets the trained model. */
  readonly output: string;
  readonly data: readonly DataConfig[];
  readonly evaluation?: EvaluationConfig | undefined;
  readonly epochs: number;
  readonly maxSteps?: number | undefined;
  readonly batchSize: number;
  readonly gradientAccumulation: number;
  /** Examples that go through the model at once, for in-batch negatives with a batch that does not fit into memory. Default: all. */
  readonly cachedExamples?: number | undefined;
  readonly learningRate: number;
  readonly schedule: 'linear' | 'cosine' | 'constant';
  readonly warmup: number;
  readonly weightDecay: number;
  /** 0: never clip. */
  readonly clipNorm: number;
  readonly dropout: boolean;
  /** Tensors whose names begin so stay as they are: `embeddings`, `encoder.layer.0.`. */
  readonly freeze: readonly string[];
  readonly mixing: 'proportional' | 'round-robin';
  readonly seed: number;
  readonly evaluateEvery: number | 'epoch';
  readonly patience?: number | undefined;
  readonly checkpointEvery: number;
  /** The most tokens of a text. Default: what the model says. */
  readonly maxLength?: number | undefined;
  /** Threads of onnxruntime. Default: one for each core. */
  readonly threads?: number | undefined;
}

const dataSchema = v.strictObject({
  file: v.string(),
  columns: v.pipe(v.array(column), v.minLength(1)),
  label: v.optional(column),
  labelScale: v.optional(positive, 1),
  header: v.optional(v.boolean(), true),
  loss: v.string(),
  lossParameters: v.optional(v.record(v.string(), v.unknown()), {}),
  sampler: v.optional(v.picklist(['shuffled', 'inOrder', 'noDuplicates', 'groupedByLabel', 'byLength'])),
  prompts: v.optional(v.array(v.nullable(v.string()))),
});

const evaluationSchema = v.strictObject({
  type: v.picklist(['sts', 'triplet']),
  file: v.string(),
  columns: v.pipe(v.array(column), v.minLength(2)),
  label: v.optional(column),
  header: v.optional(v.boolean(), true),
});

const configSchema: v.GenericSchema<unknown, TrainingConfig> = v.strictObject({
  model: v.optional(v.string(), 'use-lite'),
  output: v.string(),
  data: v.pipe(v.array(dataSchema), v.minLength(1)),
  evaluation: v.optional(evaluationSchema),
  epochs: v.optional(count, 1),
  maxSteps: v.optional(count),
  batchSize: v.optional(count, 16),
  gradientAccumulation: v.optional(count, 1),
  cachedExamples: v.optional(count),
  learningRate: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)), 2e-5),
  schedule: v.optional(v.picklist(['linear', 'cosine', 'constant']), 'linear'),
  warmup: v.optional(share, 0.1),
  weightDecay: v.optional(v.pipe(v.number(), v.minValue(0)), 0.01),
  clipNorm: v.optional(v.pipe(v.number(), v.minValue(0)), 1),
  dropout: v.optional(v.boolean(), false),
  freeze: v.optional(v.array(v.string()), []),
  mixing: v.optional(v.picklist(['proportional', 'round-robin']), 'proportional'),
  seed: v.optional(v.pipe(v.number(), v.integer()), 42),
  evaluateEvery: v.optional(v.union([v.literal('epoch'), count]), 'epoch'),
  patience: v.optional(count),
  checkpointEvery: v.optional(count, 500),
  maxLength: v.optional(count),
  threads: v.optional(count),
});

/**
 * Checks a configuration and fills in the defaults.
 * @param name of the file, for messages
 * @throws SentvecError `invalid-argument` with every problem: an unknown key, a missing one, a value out of range
 */
export function parseTrainingConfig(value: unknown, name: string): TrainingConfig {
  const result = v.safeParse(configSchema, value);
  if (!result.success) {
    const problems = result.issues.map((issue) => `  ${v.getDotPath(issue) ?? 'the file'}: ${describe(issue)}`);
    throw new SentvecError('invalid-argument', `${name} is no training configuration:\n${problems.join('\n')}`, { file: name });
  }
  for (const [index, data] of result.output.data.entries()) {
    if (data.prompts && data.prompts.length !== data.columns.length) {
      throw new SentvecError('invalid-argument', `${name}: data.${index}.prompts must have an entry for each column.`, { file: name });
    }
    lossOf(data);
  }
  return result.output;
}

/** The loss of a data set. @throws SentvecError `invalid-argument` */
export function lossOf({ loss, lossParameters }: DataConfig): Loss {
  return lossFromName(loss, lossParameters);
}

function describe(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'strict_object' && issue.expected === 'never') return 'there is no such key; --help lists them';
  if (issue.received === 'undefined') return 'is missing';
  return `expected ${issue.expected ?? 'another value'}, found ${issue.received}`;
}
