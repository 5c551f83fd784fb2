// Runs a configured training whose model and data are loaded: starts or resumes it, and writes the output folder.
import { realpath, rm } from 'node:fs/promises';
import { selfCheckContent } from '@sentvec/architectures';
import {
  memoryModel,
  pairwiseSimilarity,
  selfCheckFile,
  SentvecError,
  subfolder,
  type ModelFiles,
  type ModelFolder,
} from '@sentvec/core';
import { warn } from '@sentvec/platform';
import { writeFolderAtomically } from '@sentvec/platform/node';
import type { TextReader } from '../data/tokenized-sets.ts';
import type { TrainingSet } from '../data/training-set.ts';
import { embedWith, scoreWith } from '../embed-texts.ts';
import type { TrainingEngine } from '../engine.ts';
import { slotsOf } from '../optimizer/parameters.ts';
import { recordGraphs } from '../step/record-graphs.ts';
import { trainableTensors, trainedNames } from '../step/record-step.ts';
import { routesOf, type TrainableModel } from '../step/siamese.ts';
import { trainedAdapterFiles } from '../trained-adapter.ts';
import { trainedModelFiles, trainedWeights, type FileContents } from '../trained-model.ts';
import { train } from '../trainer.ts';
import { resolveTrainingOptions } from '../training-options.ts';
import type { TrainingOutcome, TrainingRequest } from '../training-request.ts';
import { readCheckpoint, writeCheckpoint } from './checkpoint-file.ts';
import { isOnnxDevice, type TrainingConfig } from './config.ts';
import { readEvaluation } from './configured-evaluation.ts';
import type { LoadedTrainable } from './load-trainable.ts';
import { modelCard } from './model-card.ts';
import { onnxEngine } from './onnx-engine.ts';
import { recipeOf } from './recipe.ts';
import { curvesImage } from './training-curves.ts';
import { historyLines, trainingReport } from './training-report.ts';

/** Options of `trainFromConfig`. */
export interface TrainFromConfigOptions extends Pick<
  TrainingRequest,
  'signal' | 'onProgress' | 'onEvaluation' | 'onWarning'
> {
  /** Opens the model with the name in the configuration. */
  readonly openModel: (name: string) => Promise<ModelFiles>;
  /** Relative paths of the configuration are relative to this folder. @default '.' */
  readonly directory?: string | undefined;
  /**
   * Whether to resume from the checkpoint. If there is none, the training starts at step 0, with a warning. If `resume`
   * is false, an existing checkpoint is an error.
   * @default false
   */
  readonly resume?: boolean | undefined;
  /** Whether to write the model from the best weights of the checkpoint, without further training. @default false */
  readonly finish?: boolean | undefined;
}

/** A finished run. */
export interface TrainedFolder {
  /** The folder of the trained model. */
  readonly output: string;
  readonly outcome: TrainingOutcome;
}

/** The loaded and checked parts of a run. */
export interface RunParts {
  readonly output: string;
  readonly checkpoint: string;
  readonly directory: string;
  readonly loaded: LoadedTrainable;
  readonly sets: readonly TrainingSet[];
}

/** Executes one training run. See `trainFromConfig`. */
export class ConfiguredRun {
  readonly #config: TrainingConfig;
  readonly #options: TrainFromConfigOptions;
  readonly #parts: RunParts;
  /** The step of the last written checkpoint. */
  #checkpointStep: number | undefined;

  constructor(config: TrainingConfig, options: TrainFromConfigOptions, parts: RunParts) {
    this.#config = config;
    this.#options = options;
    this.#parts = parts;
  }

  async run(): Promise<TrainedFolder> {
    const { loaded, directory, sets, output, checkpoint } = this.#parts;
    const { evaluation } = this.#config;
    const evaluator = evaluation && (await readEvaluation(evaluation, loaded, directory));
    const recipe = await recipeOf(this.#config, loaded, sets, evaluator?.data);
    const resumeFrom = await this.#readCheckpoint((path) => readCheckpoint(path, recipe));
    const trained = unfrozenNames(loaded, this.#config, sets);
    const engine = await engineFor(this.#config, loaded, sets, trained);
    const saveCheckpoint = async (state: TrainingOutcome['checkpoint']): Promise<void> => {
      await writeCheckpoint(checkpoint, recipe, state);
      this.#checkpointStep = state.step;
    };
    try {
      const before = await comparePairs(engine, loaded, sets[0]!);
      const { signal, onProgress, onEvaluation, onWarning, finish } = this.#options;
      const outcome = await train({
        engine,
        reader: loaded.reader,
        sets,
        options: resolveTrainingOptions(this.#config, evaluator !== undefined),
        evaluate: evaluator?.evaluate,
        resumeFrom,
        finish,
        signal,
        onProgress,
        onEvaluation,
        onWarning,
        onCheckpoint: saveCheckpoint,
      });
      try {
        await this.#write(engine, trained, outcome, before);
      } catch (error) {
        if (this.#checkpointStep !== outcome.steps) await saveCheckpoint(outcome.checkpoint).catch(() => undefined);
        throw error;
      }
      await rm(checkpoint, { force: true });
      return { output, outcome };
    } catch (error) {
      throw this.#withCheckpointPath(error);
    } finally {
      await engine.dispose();
    }
  }

  async #readCheckpoint(
    read: (path: string) => Promise<TrainingOutcome['checkpoint'] | undefined>,
  ): Promise<TrainingOutcome['checkpoint'] | undefined> {
    const { resume, finish, onWarning = warn } = this.#options;
    if (!resume && !finish) return undefined;
    const { checkpoint } = this.#parts;
    const found = await read(checkpoint);
    this.#checkpointStep = found?.step;
    if (found !== undefined) return found;
    if (finish)
      throw new SentvecError(
        'invalid-argument',
        `There is no checkpoint ${checkpoint}, so there is nothing to finish. Train without \`finish\`.`,
        {
          file: checkpoint,
        },
      );
    onWarning(`There is no checkpoint ${checkpoint}: the training starts at its first step.`);
    return undefined;
  }

  async #write(
    engine: TrainingEngine,
    trained: ReadonlySet<string>,
    outcome: TrainingOutcome,
    before: readonly ComparedPair[],
  ): Promise<void> {
    const { loaded, sets, output } = this.#parts;
    const after = await comparePairs(engine, loaded, sets[0]!);
    const tensors = trainableTensors(loaded.model).filter(({ name }) => trained.has(name));
    const weights = trainedWeights(slotsOf(tensors), await engine.state());
    const { adapters } = loaded.model;
    const isApart = adapters !== undefined && this.#config.lora?.save === 'apart';
    const described = { config: this.#config, outcome, sets, loaded };
    const pairs = before.map(({ first, second, similarity }, index) => ({
      first,
      second,
      before: similarity,
      after: after[index]!.similarity,
    }));
    const model = await trainedModelFiles(loaded.files, loaded.model, weights, loaded);
    const files = {
      ...(isApart ? await trainedAdapterFiles(loaded.files, adapters, weights, await baseName(loaded.files)) : model),
      ...(await selfChecksOf(model, loaded)),
      'README.md': modelCard(described),
      'curves.svg': curvesImage(outcome.history),
      'history.jsonl': historyLines(outcome.history),
      'report.html': trainingReport(described, pairs),
    };
    await writeFolderAtomically(output, Object.entries(files), { doing: 'Writing the model' });
  }

  /** Adds to an error where the checkpoint is, if one was written. */
  #withCheckpointPath(error: unknown): unknown {
    if (!SentvecError.is(error) || this.#checkpointStep === undefined) return error;
    const { checkpoint } = this.#parts;
    const where = `The weights of step ${this.#checkpointStep} are in ${checkpoint}. Continue with \`resume\`, or write a model from the best weights so far with \`finish\`.`;
    // `train` has already wrapped the error, with the step of the checkpoint in its details.
    const cause = error.details['checkpointStep'] === undefined ? error : error.cause;
    return new SentvecError(error.code, `${error.message} ${where}`, { ...error.details, checkpoint }, { cause });
  }
}

/** The base model's name in an adapter: the absolute path of a local folder, or the name of any other model. */
async function baseName({ name, directory }: ModelFiles): Promise<string> {
  const path = await realpath(name).catch(() => undefined);
  return path !== undefined && path === directory ? path : name;
}

async function engineFor(
  config: TrainingConfig,
  { model, dimension }: LoadedTrainable,
  sets: readonly TrainingSet[],
  trained: ReadonlySet<string>,
): Promise<TrainingEngine> {
  const objectives = sets.map(({ loss, examples }) => ({
    loss,
    columns: examples.columns.length,
    labelWidth: examples.labelWidth,
  }));
  const { dropout, cachedExamples, weightDecay, clipNorm, device, threads } = config;
  const optimizer = { weightDecay, clipNorm: clipNorm === 0 ? Infinity : clipNorm };
  const options = { objectives, trained, dropout, cachedExamples, optimizer };
  const graphs = recordGraphs(model, dimension, options); // Throws if the model cannot be trained with these options.
  if (isOnnxDevice(device)) return onnxEngine(graphs, { threads, device });
  const { tfjsEngine } = await loadTensorFlow();
  return tfjsEngine(model, { ...options, device });
}

/** Imports the TensorFlow.js engine, whose packages are optional. */
async function loadTensorFlow(): Promise<typeof import('../tfjs/index.ts')> {
  try {
    return await import('../tfjs/index.ts');
  } catch (cause) {
    throw new SentvecError(
      'missing-dependency',
      'Training on TensorFlow.js needs two more packages: npm install @sentvec/backend-tfjs @tensorflow/tfjs@4.22.0',
      { package: '@sentvec/backend-tfjs' },
      { cause },
    );
  }
}

function unfrozenNames(
  { model, reader }: LoadedTrainable,
  { freeze }: TrainingConfig,
  sets: readonly TrainingSet[],
): ReadonlySet<string> {
  const routes = new Set(sets.flatMap((set) => (set.routes ?? []).map((task) => reader.router?.routeOf(task))));
  const taken = Object.entries(model.routes ?? {}).filter(([route]) => routes.has(route));
  // Routes that no column uses are not trained.
  const names = model.routes
    ? [
        ...new Set(
          taken.flatMap(([, route]) => trainableTensors(route.model).map(({ name }) => route.names.get(name)!)),
        ),
      ]
    : [...trainedNames(model)];
  for (const start of freeze) {
    if (names.some((name) => name.startsWith(start))) continue;
    throw new SentvecError(
      'invalid-argument',
      `freeze: no tensor name begins with "${start}". Names: ${names.slice(0, 6).join(', ')}, …`,
    );
  }
  const trained = names.filter((name) => !freeze.some((start) => name.startsWith(start)));
  if (trained.length === 0)
    throw new SentvecError(
      'invalid-argument',
      'freeze matches all tensors, so there is nothing to train. Remove a prefix.',
    );
  return new Set(trained);
}

/** The self-check files of each route. Backends compare their results with them when they load the model. */
async function selfChecksOf(model: FileContents, loaded: LoadedTrainable): Promise<Readonly<Record<string, string>>> {
  if (loaded.kind !== 'embedder') return {};
  const { folder, reader, routes = { '': folder } } = loaded;
  const found: Record<string, string> = {};
  for (const [route, { model: ofRoute }] of Object.entries(routesOf(loaded.model)))
    Object.assign(found, await selfCheckOf(model, routes[route]!, reader.router?.readers[route] ?? reader, ofRoute));
  return found;
}

async function selfCheckOf(
  model: FileContents,
  folder: ModelFolder,
  reader: TextReader,
  { definition }: TrainableModel,
): Promise<Readonly<Record<string, string>>> {
  if (folder.encoder !== 'transformer') return {};
  const { encoderPath, addSpecialTokens } = folder;
  const files = subfolder(memoryModel('the trained model', model), encoderPath);
  const { maxPositions } = definition;
  const content = await selfCheckContent(files, reader.tokenizer, { addSpecialTokens, maxPositions });
  return content === undefined
    ? {}
    : { [encoderPath === '' ? selfCheckFile : `${encoderPath}/${selfCheckFile}`]: content };
}

interface ComparedPair {
  readonly first: string;
  readonly second: string;
  readonly similarity: number;
}

/**
 * Scores a few examples before and after training, for the report: cosines of the first two columns, or a reranker's
 * first score. Texts have the same prompts as in training.
 */
async function comparePairs(
  engine: TrainingEngine,
  { kind, reader }: LoadedTrainable,
  { examples, prompts, routes }: TrainingSet,
): Promise<ComparedPair[]> {
  const [first = [], second] = examples.columns;
  if (second === undefined) return [];
  const shown = Math.min(8, first.length);
  const rows = Array.from({ length: shown }, (_, i) => Math.floor((i * first.length) / shown));
  if (kind === 'reranker' || kind === 'multi-vector') {
    const pairs = rows.map((row) => [first[row]!, second[row]!] as const);
    const { data, cols } = await scoreWith(engine, reader, undefined, prompts)(pairs);
    return pairs.map(([a, b], index) => ({ first: a, second: b, similarity: data[index * cols]! }));
  }
  const embed = embedWith(engine, reader);
  const [a, b] = [
    await embed(
      rows.map((row) => first[row]!),
      { prompt: prompts?.[0], as: 'query', route: routes?.[0] },
    ),
    await embed(
      rows.map((row) => second[row]!),
      { prompt: prompts?.[1], as: 'document', route: routes?.[1] },
    ),
  ];
  const similarities = pairwiseSimilarity(a, b, 'cosine');
  return rows.map((row, index) => ({ first: first[row]!, second: second[row]!, similarity: similarities[index]! }));
}
