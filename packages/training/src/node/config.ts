// The training configuration file: its type, its defaults, its validation and its JSON Schema.
import { toJsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { poolingModes, SentvecError, type ModelKind } from '@sentvec/core';
import type { OnnxDevice } from '@sentvec/backend-onnx';
import type { ColumnName } from '@sentvec/corpus';
import { lossFromName, type LossDefaults } from '../losses/loss-from-name.ts';
import type { ExamplesOfClassesOptions } from '../data/examples-of-classes.ts';
import type { TrainingLoss } from '../loss.ts';
import type { LoraOptions } from '../step/lora.ts';
import type { FromScratchOptions } from '../from-scratch/from-scratch.ts';
import { resolveTrainingOptions } from '../training-options.ts';
import { checkEvaluationConfig, column, count, evaluationSchema, type EvaluationConfig } from './evaluation-config.ts';

/** Options of a model with random weights, see `fromScratch`. The seed is that of the run. */
export type ScratchConfig = Omit<FromScratchOptions, 'seed'>;

const positive = v.pipe(v.number(), v.gtValue(0));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

/** One data set of a configuration. */
export interface DataConfig {
  /** JSON lines, CSV, TSV or Parquet, plain or gzip. */
  readonly file: string;
  /** The text columns, in the order that the loss expects. Names, or indices from 0 for a file without a header. */
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  /** Labels are divided by this number: 5 maps scores from 0 to 5 to the range 0 to 1. @default 1 */
  readonly labelScale: number;
  /**
   * Makes pairs or triplets from one text column whose `label` is a class, see `examplesOfClasses`.
   * @default the rows are the examples
   */
  readonly fromClasses?: ExamplesOfClassesOptions | undefined;
  /** Whether the first row of a CSV or TSV file has column names. @default true */
  readonly header: boolean;
  /** A class name of sentence-transformers; see `lossNames`. */
  readonly loss: string;
  readonly lossParameters: Readonly<Record<string, unknown>>;
  readonly sampler?: 'shuffled' | 'inOrder' | 'noDuplicates' | 'groupedByLabel' | 'byLength' | undefined;
  /**
   * The name of the model's prompt for each column, or null for no prompt. A reranker uses one prompt for a pair: that
   * of the first column. The others must be null.
   */
  readonly prompts?: readonly (string | null)[] | undefined;
  /** Overrides {@link TrainingConfig.routerMapping} for this data set. @default that of the configuration */
  readonly routerMapping?: RouterMapping | undefined;
}

/**
 * Maps the name of a column to a route, or to a task that the Router maps to a route, such as `query` or `document`.
 */
export type RouterMapping = Readonly<Record<string, string>>;

/** LoRA options of a configuration, see `withLora`. The seed of the initial weights is that of the run. */
export interface LoraConfig extends Omit<LoraOptions, 'seed'> {
  /**
   * `merged`: the adapters are merged into the weights, and the output is a complete model. `apart`: the output has
   * only the adapter, in PEFT's format, with the name of its base model.
   */
  readonly save: 'merged' | 'apart';
}

/** A validated training configuration with all defaults. Options without a comment are those of `TrainingOptions`. */
export interface TrainingConfig {
  /**
   * A folder, a name on the Hugging Face hub, or `use-lite`, the default model. With `fromScratch`: a new model with
   * random weights and a tokenizer trained on the data.
   */
  readonly model: string | { readonly fromScratch: ScratchConfig };
  /**
   * The kind of model that is trained. If the base model lacks the head of this kind, it gets a new one.
   * @default 'embedder'
   */
  readonly kind: ModelKind;
  /**
   * For a reranker with a new head: the names of its labels, in order. For an existing reranker, they must equal its
   * labels.
   * @default the labels in the data if the loss needs several, else one label
   */
  readonly labels?: readonly string[] | undefined;
  /**
   * For a model with task adapters, such as jina-embeddings-v3: the task whose adapter is merged into the weights
   * before training.
   * @default none
   */
  readonly task?: string | undefined;
  /**
   * For a model with a Router: the route of each column (`router_mapping` of sentence-transformers). Columns that are
   * not listed use the default route.
   */
  readonly routerMapping?: RouterMapping | undefined;
  /** The folder that the trained model is written to. */
  readonly output: string;
  readonly data: readonly DataConfig[];
  readonly evaluation?: EvaluationConfig | undefined;
  readonly epochs: number;
  readonly maxSteps?: number | undefined;
  readonly batchSize: number;
  readonly gradientAccumulation: number;
  /**
   * How many texts go through the model at once (GradCache). It allows batches for in-batch negatives that do not fit
   * into memory.
   * @default all
   */
  readonly cachedExamples?: number | undefined;
  readonly learningRate: number;
  readonly schedule: 'linear' | 'cosine' | 'constant';
  readonly warmup: number;
  readonly weightDecay: number;
  /** 0 turns clipping off. */
  readonly clipNorm: number;
  readonly dropout: boolean;
  /** Tensors whose names begin with one of these prefixes are not trained: `embeddings`, `encoder.layer.0.`. */
  readonly freeze: readonly string[];
  /**
   * Trains LoRA adapters and the head instead of all weights.
   * @default all weights are trained
   */
  readonly lora?: LoraConfig | undefined;
  readonly mixing: 'proportional' | 'round-robin';
  readonly seed: number;
  readonly evaluateEvery: number | 'epoch';
  readonly patience?: number | undefined;
  readonly checkpointEvery: number;
  readonly watchDivergence: boolean;
  /**
   * Texts are truncated to this many tokens.
   * @default the maximum length of the model
   */
  readonly maxLength?: number | undefined;
  /**
   * Threads of onnxruntime on the CPU.
   * @default one for each core
   */
  readonly threads?: number | undefined;
  /**
   * The device that computes the gradients. `cpu`, `webgpu`, `cuda`, `coreml` and `dml` use onnxruntime-node;
   * `tfjs-node-gpu`, `tfjs-node` and `wasm` use TensorFlow.js.
   * @default 'cpu'
   */
  readonly device: TrainingDevice;
}

const onnxDevices = ['cpu', 'webgpu', 'cuda', 'coreml', 'dml'] as const;
const tfjsDevices = ['tfjs-node-gpu', 'tfjs-node', 'wasm'] as const;

/** A device that training can run on. */
export type TrainingDevice = (typeof onnxDevices)[number] | (typeof tfjsDevices)[number];

/** Whether a device uses onnxruntime-node. The others use TensorFlow.js. */
export function isOnnxDevice(device: TrainingDevice): device is OnnxDevice {
  return (onnxDevices as readonly string[]).includes(device);
}

const dataSchema = v.strictObject({
  file: v.string(),
  columns: v.pipe(v.array(column), v.minLength(1)),
  label: v.optional(column),
  labelScale: v.optional(positive, 1),
  fromClasses: v.optional(
    v.strictObject({
      make: v.optional(v.picklist(['pairs', 'triplets'])),
      perText: v.optional(count),
      seed: v.optional(v.pipe(v.number(), v.integer())),
    }),
  ),
  header: v.optional(v.boolean(), true),
  loss: v.string(),
  lossParameters: v.optional(v.record(v.string(), v.unknown()), {}),
  sampler: v.optional(v.picklist(['shuffled', 'inOrder', 'noDuplicates', 'groupedByLabel', 'byLength'])),
  prompts: v.optional(v.array(v.nullable(v.string()))),
  routerMapping: v.optional(v.record(v.string(), v.string())),
});

const scratchSchema = v.strictObject({
  config: v.optional(v.record(v.string(), v.unknown())),
  vocabularySize: v.optional(count),
  pooling: v.optional(v.picklist(poolingModes)),
  maxLength: v.optional(count),
  tokenNorms: v.optional(v.picklist(['equal', 'idf'])),
});

const loraSchema = v.strictObject({
  rank: v.optional(count, 8),
  alpha: v.optional(positive, 8),
  targets: v.optional(v.union([v.literal('all-linear'), v.pipe(v.array(v.string()), v.minLength(1))]), 'all-linear'),
  dropout: v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1)), 0),
  save: v.optional(v.picklist(['merged', 'apart']), 'merged'),
});

/** The schema of a configuration file. */
const configSchema: v.GenericSchema<unknown, TrainingConfig & { readonly $schema?: string | undefined }> =
  v.strictObject({
    $schema: v.optional(v.string()),
    model: v.optional(v.union([v.string(), v.strictObject({ fromScratch: scratchSchema })]), 'use-lite'),
    kind: v.optional(v.picklist(['embedder', 'reranker', 'sparse', 'multi-vector']), 'embedder'),
    labels: v.optional(v.pipe(v.array(v.string()), v.minLength(1))),
    task: v.optional(v.string()),
    routerMapping: v.optional(v.record(v.string(), v.string())),
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
    lora: v.optional(loraSchema),
    mixing: v.optional(v.picklist(['proportional', 'round-robin']), 'proportional'),
    seed: v.optional(v.pipe(v.number(), v.integer()), 42),
    evaluateEvery: v.optional(v.union([v.literal('epoch'), count]), 'epoch'),
    patience: v.optional(count),
    checkpointEvery: v.optional(count, 500),
    watchDivergence: v.optional(v.boolean(), true),
    maxLength: v.optional(count),
    threads: v.optional(count),
    device: v.optional(v.picklist([...onnxDevices, ...tfjsDevices]), 'cpu'),
  });

/** The JSON Schema (draft 7) of a training configuration. Editors validate a file that refers to it by `$schema`. */
export function trainingConfigSchema(): Readonly<Record<string, unknown>> {
  return { title: 'sentvec training configuration', ...toJsonSchema(configSchema, { typeMode: 'input' }) };
}

/**
 * Validates a configuration and fills in the defaults.
 * @param name the file name, for error messages
 * @throws SentvecError `invalid-argument`; the message lists every unknown key, missing key and invalid value
 */
export function parseTrainingConfig(value: unknown, name: string): TrainingConfig {
  const result = v.safeParse(configSchema, value);
  if (!result.success) {
    const problems = problemsOf(result.issues).join('\n');
    throw new SentvecError('invalid-argument', `${name} is not a training configuration:\n${problems}`, { file: name });
  }
  for (const [index, data] of result.output.data.entries()) {
    if (data.fromClasses && (data.columns.length !== 1 || data.label === undefined)) {
      throw new SentvecError(
        'invalid-argument',
        `${name}: data.${index}.fromClasses needs exactly one text column, and "label", the column of the classes.`,
        { file: name },
      );
    }
    const columns = data.fromClasses ? (data.fromClasses.make === 'triplets' ? 3 : 2) : data.columns.length;
    if (data.prompts && data.prompts.length !== columns) {
      throw new SentvecError('invalid-argument', `${name}: data.${index}.prompts must have an entry for each column.`, {
        file: name,
      });
    }
    lossOf(data, result.output.kind);
  }
  const { device, threads, evaluation, kind, labels } = result.output;
  checkRouterMappings(result.output, name);
  if (labels !== undefined && kind !== 'reranker')
    throw new SentvecError(
      'invalid-argument',
      `${name}: only rerankers have "labels", but "kind" is ${kind}. Remove "labels".`,
      { file: name },
    );
  if (labels !== undefined && new Set(labels).size < labels.length)
    throw new SentvecError('invalid-argument', `${name}: "labels" contains a name twice: ${labels.join(', ')}.`, {
      file: name,
    });
  if (threads !== undefined && device !== 'cpu')
    throw new SentvecError(
      'invalid-argument',
      `${name}: "threads" applies to the device cpu, not to ${device}. Remove "threads".`,
      {
        file: name,
      },
    );
  checkEvaluationConfig(evaluation, name, result.output.kind);
  resolveTrainingOptions(result.output, evaluation !== undefined);
  const { $schema: _, ...config } = result.output;
  return config;
}

/** @throws SentvecError `invalid-argument` for a column that no data set has */
function checkRouterMappings({ data, routerMapping = {} }: TrainingConfig, name: string): void {
  const all = new Set(data.flatMap(({ columns }) => columns.map(String)));
  const unknown = [
    ...Object.keys(routerMapping).filter((key) => !all.has(key)),
    ...data.flatMap(({ columns, routerMapping: own = {} }) =>
      Object.keys(own).filter((key) => !columns.map(String).includes(key)),
    ),
  ];
  if (unknown.length === 0) return;
  throw new SentvecError(
    'invalid-argument',
    `${name}: routerMapping contains the column "${unknown[0]}", but the columns of the data are ${[...all].join(', ')}.`,
    { file: name },
  );
}

/** The loss of a data set, for a kind of model. @throws SentvecError `invalid-argument` */
export function lossOf({ loss, lossParameters }: DataConfig, kind: ModelKind, defaults?: LossDefaults): TrainingLoss {
  return lossFromName(loss, lossParameters, kind, defaults);
}

/** One line per problem. For a union, it lists the problems of the alternative that matched in part. */
function problemsOf(issues: readonly v.BaseIssue<unknown>[], within?: string): string[] {
  return issues.flatMap((issue) => {
    const path = [within, v.getDotPath(issue)].filter((part) => part).join('.');
    const nested = issue.type === 'union' ? (issue.issues ?? []).filter((each) => each.path !== undefined) : [];
    return nested.length > 0 ? problemsOf(nested, path) : [`  ${path || 'the file'}: ${describe(issue)}`];
  });
}

function describe(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'strict_object' && issue.expected === 'never') return 'there is no such key';
  if (issue.received === 'undefined') return 'is missing';
  return `expected ${issue.expected ?? 'another value'}, found ${issue.received}`;
}
