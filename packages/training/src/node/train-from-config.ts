// Trains from a configuration: reads and checks model and data, then runs the training.
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
 * Trains a model from a configuration, and writes it as a sentence-transformers folder with `onnx/model.onnx`, a model
 * card (`README.md`), `report.html` and `history.jsonl`. During training, the checkpoint is in
 * `OUTPUT.checkpoint.safetensors`. After an error the last weights are in the checkpoint, and the error message
 * contains its path.
 * @throws SentvecError the errors of `train`; `invalid-output` when the output folder or a checkpoint already exists
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
    await mustBeFree(checkpoint, 'Continue with `resume`, write a model from it with `finish`, or remove it.');
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

/** An existing head keeps its labels, because the order of its weights depends on them. */
function checkLabels({ labels = [], files }: LoadedTrainable, config: TrainingConfig): void {
  if (config.labels === undefined || config.labels.join('\n') === labels.join('\n')) return;
  throw new SentvecError(
    'invalid-argument',
    `labels: ${files.name} is already a reranker with the labels ${labels.join(', ')}, in this order, not ${config.labels.join(', ')}. Remove "labels".`,
    { file: files.name },
  );
}

/** Adds the LoRA adapters of a configuration to the model. */
async function withAdapters(loaded: LoadedTrainable, config: TrainingConfig): Promise<LoadedTrainable> {
  if (config.lora === undefined) return loaded;
  if (loaded.routes !== undefined)
    throw new SentvecError(
      'unsupported-model',
      `lora: ${loaded.files.name} has several routes, but LoRA supports only one encoder. Remove lora, or freeze a route by the folder of its encoder: "freeze": ["${loaded.folder.encoderPath}/"].`,
      { file: loaded.files.name },
    );
  const { save, ...options } = config.lora;
  if (save === 'apart') {
    if (config.kind !== 'embedder')
      throw new SentvecError(
        'invalid-argument',
        `lora.save: "apart" is only for embedders: a model of the kind ${config.kind} also has a trained head, which an adapter cannot contain. Use "merged".`,
      );
    if (typeof config.model !== 'string' || config.task !== undefined)
      throw new SentvecError(
        'invalid-argument',
        `lora.save: "apart" needs a base model that the adapter can refer to, but ${config.task === undefined ? 'a model from scratch' : 'a model with a merged task adapter'} has no name. Use "merged".`,
      );
    await checkBaseOfAdapter(loaded.files);
  }
  return { ...loaded, model: withLora(loaded.model, { ...options, seed: config.seed }) };
}

/** Opens the model of a configuration, or makes a new one with a tokenizer trained on the examples. */
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
    `${name}: the labels are vectors of dimension ${labelWidth}, but the model's vectors have dimension ${dimension}. ${loss.name} needs the same dimension.`,
    { file: name },
  );
}
