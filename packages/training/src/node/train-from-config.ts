import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pairwiseSimilarity, SentvecError, type ModelFiles } from '@sentvec/core';
import { mustBeFree, writeFolderAtomically } from '@sentvec/platform/node';
import { embedWith } from '../embed-texts.ts';
import type { TrainingEngine } from '../engine.ts';
import { fromScratch } from '../from-scratch/from-scratch.ts';
import { slotsOf } from '../optimizer/parameters.ts';
import { recordGraphs } from '../step/record-graphs.ts';
import { trainableTensors } from '../step/record-step.ts';
import { train, type TrainingOutcome, type TrainingRequest } from '../trainer.ts';
import { trainedModelFiles, trainedWeights } from '../trained-model.ts';
import { checkTrainingSet, type TrainingSet } from '../training-set.ts';
import { readCheckpoint, writeCheckpoint } from './checkpoint-file.ts';
import type { TrainingConfig } from './config.ts';
import { readExamples, withPrompts, type ConfiguredExamples } from './configured-data.ts';
import { readEvaluation } from './configured-evaluation.ts';
import { loadTrainable, type LoadedTrainable } from './load-trainable.ts';
import { modelCard } from './model-card.ts';
import { onnxEngine } from './onnx-engine.ts';
import { curvesImage } from './training-curves.ts';
import { historyLines, trainingReport, type PairComparison } from './training-report.ts';

/** What {@link trainFromConfig} needs besides the configuration. */
export interface TrainFromConfigOptions extends Pick<TrainingRequest, 'signal' | 'onProgress' | 'onEvaluation'> {
  /** Finds the model that the configuration names. */
  readonly openModel: (name: string) => Promise<ModelFiles>;
  /** Relative paths of the configuration are relative to this folder. Default: the current one. */
  readonly directory?: string | undefined;
  /** Goes on from the last checkpoint. Default: a checkpoint in the way is an error. */
  readonly resume?: boolean | undefined;
}

/** A finished run. */
export interface TrainedFolder {
  /** The folder of the trained model. */
  readonly output: string;
  readonly outcome: TrainingOutcome;
}

/**
 * Trains a model as a configuration says, and writes it as a sentence-transformers folder with `onnx/model.onnx`, a
 * model card (`README.md`), `report.html` and `history.jsonl`. While it trains, its checkpoint lies beside the output, in
 * `OUTPUT.checkpoint.safetensors`.
 * @throws SentvecError as `train`, and `invalid-output` when the output folder or a checkpoint is in the way
 */
export async function trainFromConfig(config: TrainingConfig, options: TrainFromConfigOptions): Promise<TrainedFolder> {
  const directory = options.directory ?? '.';
  const output = resolve(directory, config.output);
  const checkpoint = `${output}.checkpoint.safetensors`;
  await mustBeFree(output);
  if (!options.resume) await mustBeFree(checkpoint, 'Continue it with `resume`, or remove it.');
  const examples: ConfiguredExamples[] = [];
  for (const data of config.data) examples.push(await readExamples(data, directory));
  for (const set of examples) checkTrainingSet(set, config.batchSize);
  const loaded = await loadTrainable(await modelOf(config, examples, options), config);
  const sets = config.data.map((data, index) => withPrompts(examples[index]!, data, loaded));
  for (const set of sets) checkTargetVectors(set, loaded.dimension);
  const evaluate = config.evaluation && (await readEvaluation(config.evaluation, loaded, directory));
  const trained = trainedNames(loaded, config);
  const recipe = await recipeOf(config, loaded);
  const resumeFrom = options.resume ? await readCheckpoint(checkpoint, recipe) : undefined;
  const engine = engineFor(config, loaded, sets, trained);
  try {
    const before = await comparePairs(engine, loaded, sets[0]!);
    const outcome = await train({
      ...options,
      engine,
      reader: loaded.reader,
      sets,
      options: config,
      evaluate,
      resumeFrom,
      onCheckpoint: (state) => writeCheckpoint(checkpoint, recipe, state),
    });
    const after = await comparePairs(engine, loaded, sets[0]!);
    const tensors = trainableTensors(loaded.model).filter(({ name }) => trained.has(name));
    const files = await trainedModelFiles(
      loaded.files,
      loaded.model,
      trainedWeights(slotsOf(tensors), await engine.state()),
    );
    const pairs = before.map((pair, index): PairComparison => ({
      first: pair.first,
      second: pair.second,
      before: pair.similarity,
      after: after[index]!.similarity,
    }));
    const described = {
      config,
      outcome,
      sets,
      model: loaded.files,
      dimension: loaded.dimension,
      maxLength: loaded.reader.maxLength,
    };
    const written = {
      ...files,
      'README.md': modelCard(described),
      'curves.svg': curvesImage(outcome.history),
      'history.jsonl': historyLines(outcome.history),
      'report.html': trainingReport(described, pairs),
    };
    await writeFolderAtomically(output, Object.entries(written), {
      doing: 'Writing the model',
      advice: 'Nothing was left there. A checkpoint, if there is one, is kept: go on from it with `resume`.',
    });
    await rm(checkpoint, { force: true });
    return { output, outcome };
  } finally {
    await engine.dispose();
    await loaded.reader.tokenizer.dispose();
  }
}

/** The model that a configuration names, or a new one whose tokenizer is learnt from the examples. */
async function modelOf(
  { model, seed }: TrainingConfig,
  sets: readonly ConfiguredExamples[],
  { openModel }: TrainFromConfigOptions,
): Promise<ModelFiles> {
  if (typeof model === 'string') return openModel(model);
  const texts = sets.flatMap(({ examples }) => examples.columns.flat());
  return fromScratch('random weights', texts, { ...model.fromScratch, seed });
}

function checkTargetVectors({ name, loss, examples }: TrainingSet, dimension: number): void {
  if (loss.labels !== 'vector' || examples.labelWidth === dimension) return;
  throw new SentvecError(
    'invalid-corpus',
    `${name}: the labels are vectors of ${examples.labelWidth} numbers, but this model's have ${dimension}. ${loss.name} needs both to be equally long.`,
    { file: name },
  );
}

function engineFor(
  config: TrainingConfig,
  { model, dimension }: LoadedTrainable,
  sets: readonly TrainingSet[],
  trained: ReadonlySet<string>,
): TrainingEngine {
  const objectives = sets.map(({ loss, examples }) => ({
    loss,
    columns: examples.columns.length,
    labelWidth: examples.labelWidth,
  }));
  const { dropout, cachedExamples, weightDecay, clipNorm } = config;
  const optimizer = { weightDecay, clipNorm: clipNorm === 0 ? Infinity : clipNorm };
  const graphs = recordGraphs(model, dimension, { objectives, trained, dropout, cachedExamples, optimizer });
  return onnxEngine(graphs, { threads: config.threads });
}

function trainedNames({ model }: LoadedTrainable, { freeze }: TrainingConfig): ReadonlySet<string> {
  const names = trainableTensors(model).map(({ name }) => name);
  for (const start of freeze) {
    if (names.some((name) => name.startsWith(start))) continue;
    throw new SentvecError(
      'invalid-argument',
      `freeze: no tensor's name begins with "${start}". Names: ${names.slice(0, 6).join(', ')}, …`,
    );
  }
  const trained = names.filter((name) => !freeze.some((start) => name.startsWith(start)));
  if (trained.length === 0) throw new SentvecError('invalid-argument', 'freeze leaves nothing to train.');
  return new Set(trained);
}

/**
 * Names what decides the numbers of a run: a checkpoint belongs to one recipe. Where the result goes, and how often it
 * is saved, does not matter.
 */
async function recipeOf(config: TrainingConfig, { files }: LoadedTrainable): Promise<string> {
  const decisive = { ...config, output: undefined, checkpointEvery: undefined };
  const hash = createHash('sha256').update(JSON.stringify(decisive));
  for (const path of (await files.list()).filter((name) => name.endsWith('.safetensors')))
    hash.update(await files.read(path));
  return hash.digest('hex');
}

/** Cosines of a few examples of the first two columns, to show what training changed. */
async function comparePairs(engine: TrainingEngine, { reader }: LoadedTrainable, { examples }: TrainingSet) {
  const [first = [], second] = examples.columns;
  if (second === undefined) return [];
  const shown = Math.min(8, first.length);
  const rows = Array.from({ length: shown }, (_, i) => Math.floor((i * first.length) / shown));
  const embed = embedWith(engine, reader);
  const [a, b] = [await embed(rows.map((row) => first[row]!)), await embed(rows.map((row) => second[row]!))];
  const similarities = pairwiseSimilarity(a, b, 'cosine');
  return rows.map((row, index) => ({ first: first[row]!, second: second[row]!, similarity: similarities[index]! }));
}
