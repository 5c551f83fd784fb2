// The configuration file of a training: what it may hold, its defaults, and its JSON Schema.
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

/** A model with random weights; see `fromScratch`. Its seed is that of the run. */
export type ScratchConfig = Omit<FromScratchOptions, 'seed'>;

const positive = v.pipe(v.number(), v.gtValue(0));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

/** One data set of a configuration. */
export interface DataConfig {
  /** JSON lines, CSV, TSV or Parquet, plain or gzip. */
  readonly file: string;
  /**
   * The columns of texts, in the order of the loss: names, or numbers counted from 0 for a file without a
   * header.
   */
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  /** Labels are divided by it: 5 for scores from 0 to 5. @default 1 */
  readonly labelScale: number;
  /**
   * Makes pairs or triplets out of one column of texts, whose `label` is a class: see `examplesOfClasses`.
   * @default the rows are the examples
   */
  readonly fromClasses?: ExamplesOfClassesOptions | undefined;
  /** Whether the first row of a CSV holds names. @default true */
  readonly header: boolean;
  /** A class name of sentence-transformers; see `lossNames`. */
  readonly loss: string;
  readonly lossParameters: Readonly<Record<string, unknown>>;
  readonly sampler?: 'shuffled' | 'inOrder' | 'noDuplicates' | 'groupedByLabel' | 'byLength' | undefined;
  /**
   * Names of prompts of the model, one for each column; null for none. A reranker reads a pair as one input, which has
   * one prompt: the first; the others are null.
   */
  readonly prompts?: readonly (string | null)[] | undefined;
  /** As of {@link TrainingConfig.routerMapping}, for this data set. @default that of the configuration */
  readonly routerMapping?: RouterMapping | undefined;
}

/** The route of a Router, or a task that it maps to one, such as `query` and `document`, by the name of a column. */
export type RouterMapping = Readonly<Record<string, string>>;

/** LoRA adapters of a configuration, see `withLora`; the seed of their first numbers is that of the run. */
export interface LoraConfig extends Omit<LoraOptions, 'seed'> {
  /**
   * `merged`: the output is a model like any other. `apart`: it holds the adapter alone, in PEFT's format, and names
   * the model that it adapts.
   */
  readonly save: 'merged' | 'apart';
}

/** A training configuration as in a file, checked, with defaults. Options of `train` mean what they mean there. */
export interface TrainingConfig {
  /**
   * A folder, a name on the Hugging Face hub, use-lite, the default model, or a new model with a tokenizer learnt from
   * the data.
   */
  readonly model: string | { readonly fromScratch: ScratchConfig };
  /**
   * What is trained: an `embedder`, a `reranker`, a `sparse` embedder or a `multi-vector` one. An encoder without such
   * a head gets a new one. @default 'embedder'
   */
  readonly kind: ModelKind;
  /**
   * For a reranker that gets a new head: the names of its labels, in order. Of a model that is a reranker already, they
   * must be its own.
   * @default those of the data for a loss over labels, else one
   */
  readonly labels?: readonly string[] | undefined;
  /**
   * For a model with adapters for tasks, such as jina-embeddings-v3: whose adapter is merged into the weights before
   * they are trained.
   * @default none
   */
  readonly task?: string | undefined;
  /**
   * For a model with a Router: which column takes which route (`router_mapping` of sentence-transformers). A column that
   * is not named takes the default route.
   */
  readonly routerMapping?: RouterMapping | undefined;
  /** The folder that gets the trained model. */
  readonly output: string;
  readonly data: readonly DataConfig[];
  readonly evaluation?: EvaluationConfig | undefined;
  readonly epochs: number;
  readonly maxSteps?: number | undefined;
  readonly batchSize: number;
  readonly gradientAccumulation: number;
  /**
   * Examples that go through the model at once, for in-batch negatives with a batch that does not fit into memory.
   * @default all
   */
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
   * The most tokens of a text.
   * @default what the model says
   */
  readonly maxLength?: number | undefined;
  /**
   * Threads of onnxruntime on the CPU.
   * @default one for each core
   */
  readonly threads?: number | undefined;
  /**
   * What computes the gradients. `cpu`, `webgpu`, `cuda`, `coreml` and `dml` are devices of onnxruntime-node;
   * `tfjs-node-gpu`, `tfjs-node` and `wasm` those of TensorFlow.js.
   * @default 'cpu'
   */
  readonly device: TrainingDevice;
}

const onnxDevices = ['cpu', 'webgpu', 'cuda', 'coreml', 'dml'] as const;
const tfjsDevices = ['tfjs-node-gpu', 'tfjs-node', 'wasm'] as const;

/** What a training runs on. */
export type TrainingDevice = (typeof onnxDevices)[number] | (typeof tfjsDevices)[number];

/** Whether a device is one of onnxruntime-node; the others are those of TensorFlow.js. */
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

/** What a file may hold; editors check against its JSON Schema form. */
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

/**
 * The JSON Schema (draft 7) of a training configuration. A file that names it as its `$schema` is checked while it is
 * typed.
 */
export function trainingConfigSchema(): Readonly<Record<string, unknown>> {
  return { title: 'A training configuration of sentvec', ...toJsonSchema(configSchema, { typeMode: 'input' }) };
}

/**
 * Checks a configuration and fills in the defaults.
 * @param name of the file, for messages
 * @throws SentvecError `invalid-argument` with every problem: an unknown key, a missing one, a value out of range
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
        `${name}: data.${index}.fromClasses needs one column of texts, and "label", the column of their classes.`,
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
      `${name}: "labels" are those of a reranker; a model of the kind ${kind} has none. Leave them out.`,
      { file: name },
    );
  if (labels !== undefined && new Set(labels).size < labels.length)
    throw new SentvecError('invalid-argument', `${name}: "labels" has a name twice: ${labels.join(', ')}.`, {
      file: name,
    });
  if (threads !== undefined && device !== 'cpu')
    throw new SentvecError(
      'invalid-argument',
      `${name}: threads are those of the CPU, not of ${device}. Leave them out.`,
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
    `${name}: routerMapping names the column "${unknown[0]}", which is not among the columns of the data: ${[...all].join(', ')}.`,
    { file: name },
  );
}

/** The loss of a data set, for a kind of model. @throws SentvecError `invalid-argument` */
export function lossOf({ loss, lossParameters }: DataConfig, kind: ModelKind, defaults?: LossDefaults): TrainingLoss {
  return lossFromName(loss, lossParameters, kind, defaults);
}

/** A line for each problem. Where one of several forms was almost met, what is wrong with that form. */
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
