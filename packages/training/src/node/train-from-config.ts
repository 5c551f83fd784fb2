// Training by a configuration: reads and checks the model and the data that it names, then runs.
import { resolve } from 'node:path';
import { SentvecError, type ModelFiles } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { mustBeFree } from '@sentvec/platform/node';
import { checkTrainingSet, type TrainingSet } from '../data/training-set.ts';
import { fromScratch } from '../from-scratch/from-scratch.ts';
import { withLora } from '../step/lora.ts';
import { checkBaseOfAdapter } from '../trained-adapter.ts';
import type { TrainingConfig } from './config.ts';
import { forModel, labelNames, readExamples, type ConfiguredExamples } from './configured-data.ts';
import { ConfiguredRun, type TrainedFolder, type TrainFromConfigOptions } from './configured-run.ts';
import { loadTrainable, type LoadedTrainable } from './load-trainable.ts';

/**
 * Trains a model as a configuration says, and writes it as a sentence-transformers folder with `onnx/model.onnx`, a
 * model card (`README.md`), `report.html` and `history.jsonl`. While it trains, its checkpoint is beside the output, in
 * `OUTPUT.checkpoint.safetensors`. However a run ends, its last good weights are in the one or the other, and the
 * message of an error says in which.
 * @throws SentvecError as `train`, and `invalid-output` when the output folder or a checkpoint is in the way
 */
export async function trainFromConfig(config: TrainingConfig, options: TrainFromConfigOptions): Promise<TrainedFolder> {
  checkOptionNames('trainFromConfig()', options, {
    openModel: true,
    directory: true,
    resume: true,
    finish: true,
    signal: true,
    onProgress: true,
    onEvaluation: true,
    onWarning: true,
  });
  const directory = options.directory ?? '.';
  const output = resolve(directory, config.output);
  const checkpoint = `${output}.checkpoint.safetensors`;
  await mustBeFree(output);
  if (!options.resume && !options.finish)
    await mustBeFree(checkpoint, 'Go on from it with `resume`, make a model of it with `finish`, or remove it.');
  const examples: ConfiguredExamples[] = [];
  for (const data of config.data) examples.push(await readExamples(data, directory, config));
  for (const set of examples) checkTrainingSet(set, config.batchSize);
  const { kind, maxLength, task, seed, labels = labelNames(examples) } = config;
  const model = await modelOf(config, examples, options);
  const base = await loadTrainable(model, { kind, maxLength, task, seed, labels });
  try {
    checkLabels(base, config);
    const loaded = await withAdapters(base, config);
    const sets = config.data.map((data, index) => forModel(examples[index]!, data, loaded, config.routerMapping));
    for (const set of sets) checkTargetVectors(set, loaded.dimension);
    return await new ConfiguredRun(config, options, { output, checkpoint, directory, loaded, sets }).run();
  } finally {
    await base.reader.tokenizer.dispose();
  }
}

/** A head that is there already keeps its labels, whose order its weights have. */
function checkLabels({ labels = [], files }: LoadedTrainable, config: TrainingConfig): void {
  if (config.labels === undefined || config.labels.join('\n') === labels.join('\n')) return;
  throw new SentvecError(
    'invalid-argument',
    `labels: ${files.name} is a reranker already, whose labels are ${labels.join(', ')}, in this order, not ${config.labels.join(', ')}. Leave "labels" out.`,
    { file: files.name },
  );
}

/** The model with the adapters that a configuration asks for. */
async function withAdapters(loaded: LoadedTrainable, config: TrainingConfig): Promise<LoadedTrainable> {
  if (config.lora === undefined) return loaded;
  if (loaded.routes !== undefined)
    throw new SentvecError(
      'unsupported-model',
      `lora: ${loaded.files.name} has several routes, and adapters belong to one encoder. Leave lora out, or freeze a route by the folder of its encoder: "freeze": ["${loaded.folder.encoderPath}/"].`,
      { file: loaded.files.name },
    );
  const { save, ...options } = config.lora;
  if (save === 'apart') {
    if (config.kind !== 'embedder')
      throw new SentvecError(
        'invalid-argument',
        `lora.save: "apart" is for embedders: the head of a model of the kind ${config.kind} is trained beside the adapter. Use "merged".`,
      );
    if (typeof config.model !== 'string' || config.task !== undefined)
      throw new SentvecError(
        'invalid-argument',
        `lora.save: "apart" needs a model that can be found again, and ${config.task === undefined ? 'random weights' : 'one with the adapter of a task merged in'} cannot. Use "merged".`,
      );
    await checkBaseOfAdapter(loaded.files);
  }
  return { ...loaded, model: withLora(loaded.model, { ...options, seed: config.seed }) };
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
  const { labelWidth, columns } = examples;
  const isRight = labelWidth === dimension || (loss.labels === 'vectors' && labelWidth === dimension * columns.length);
  if ((loss.labels !== 'vector' && loss.labels !== 'vectors') || isRight) return;
  throw new SentvecError(
    'invalid-corpus',
    `${name}: the labels are vectors of ${labelWidth} numbers, but this model's have ${dimension}. ${loss.name} needs both to be equally long.`,
    { file: name },
  );
}
