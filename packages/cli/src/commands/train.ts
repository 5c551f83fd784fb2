// `sentvec train`: trains from a configuration file, resumes a training, and prints the JSON Schema of the file.
import { dirname } from 'node:path';
import { readFile } from 'node:fs/promises';
import { SentvecError } from '@sentvec/platform';
import { type Command, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { findModel } from '../model.ts';
import { downloadProgress, trainingProgress } from '../progress.ts';
import { shellWords } from '../parse-arguments.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

const example = `{
  "model": "use-lite",
  "output": "my-model",
  "data": [
    {
      "file": "stsb-train.csv", "header": false,
      "columns": [0, 1], "label": 2, "labelScale": 5,
      "loss": "CoSENTLoss"
    }
  ],
  "evaluation": { "type": "sts", "file": "stsb-dev.csv", "header": false, "columns": [0, 1], "label": 2 },
  "epochs": 4, "batchSize": 16, "learningRate": 1e-4, "seed": 42
}`;

export const trainModel: Command = defineCommand({
  name: 'train',
  summary: 'Fine-tune an embedder, a reranker or a sparse model on pairs, triplets, lists or labelled texts.',
  args: {
    config: {
      type: 'positional',
      required: false,
      description: 'The configuration, a JSON file. Paths in it are relative to the file.',
    },
    resume: {
      type: 'boolean',
      description: 'Continue from the last checkpoint. Model, data and settings must be the same.',
    },
    finish: {
      type: 'boolean',
      description: 'Write the model from the best weights of the last checkpoint, without further training.',
    },
    device: {
      type: 'string',
      description: 'The device, instead of the one in the configuration: cpu, webgpu, cuda, tfjs-node-gpu …',
    },
    schema: {
      type: 'boolean',
      description: 'Print the JSON Schema of a configuration, for validation and completion in editors.',
    },
  },
  examples: [
    { line: 'sentvec train config.json', does: 'Train, and write the model to the output folder of the configuration' },
    {
      line: 'sentvec train config.json --resume',
      does: 'Continue after Ctrl-C, a crash or a full disk',
    },
    {
      line: 'sentvec train config.json --finish',
      does: 'Write the model that was trained so far, for example after Ctrl-C',
    },
    {
      line: 'sentvec train --schema > schema.json',
      does: 'Editors use it if the configuration has "$schema": "./schema.json"',
    },
  ],
  notes: [
    `A configuration:\n\n${example}`,
    'Also: maxSteps, gradientAccumulation, cachedExamples, schedule (linear, cosine, constant), warmup, weightDecay, clipNorm, dropout, ' +
      'freeze (prefixes of tensor names), mixing (proportional, round-robin), evaluateEvery, patience, checkpointEvery, ' +
      'watchDivergence, maxLength, threads, task (for a model with task adapters: the task whose adapter is merged in), ' +
      'routerMapping (for a model with a Router: { "question": "query", "answer": "document" }, the route of each column); ' +
      'in data: sampler (shuffled, inOrder, noDuplicates, groupedByLabel, byLength), prompts, lossParameters.',
    'device: cpu (onnxruntime, the default), webgpu, cuda, coreml, dml (onnxruntime, if it supports them); tfjs-node-gpu, tfjs-node, wasm (TensorFlow.js, which needs ' +
      'more packages: npm install @tensorflow/tfjs @tensorflow/tfjs-node-gpu).',
    'lora: { rank, alpha, targets (suffixes of names of linear layers, or "all-linear"), dropout, save ("merged", "apart") } trains LoRA adapters and the head ' +
      'instead of all weights, which needs less memory. "lora": {} uses the defaults of PEFT.',
    'Evaluation types: sts, triplet, binary (1 or 0), retrieval (query, document), reranking (query, document, 1 or 0), paraphrases, ' +
      'classification and clustering (a text, its class). --schema describes each. prompt is the name of one of the ' +
      "model's prompts for all texts; for retrieval and reranking, queryPrompt and corpusPrompt set them separately; default: the model's prompts for queries and documents.",
    'To train without a pretrained model: "model": { "fromScratch": { "config": { "model_type": "static-embedding", "hidden_size": 512 }, ' +
      '"vocabularySize": 16000 } } makes a model with random weights and a tokenizer trained on the data; config has the keys of transformers.',
    'Losses by their names in sentence-transformers: CosineSimilarityLoss, CoSENTLoss, AnglELoss (a score); MultipleNegativesRankingLoss, ' +
      'MultipleNegativesSymmetricRankingLoss, TripletLoss (no label); ContrastiveLoss, OnlineContrastiveLoss (1 or 0); BatchHardTripletLoss, ' +
      'BatchAllTripletLoss (a class); SoftmaxLoss (the name of a label); MSELoss, MarginMSELoss (a list of numbers); MatryoshkaLoss, AdaptiveLayerLoss, Matryoshka2dLoss around most of them.',
    '"kind": "reranker" trains a reranker; an encoder or an embedder gets a new head: BinaryCrossEntropyLoss ' +
      '(0 to 1), CrossEntropyLoss (the name of a label; labels sets their order), MultipleNegativesRankingLoss (no label), MSELoss, MarginMSELoss ' +
      "(a teacher's scores); listwise over the rows with the same query LambdaLoss, RankNetLoss, ListNetLoss, ListMLELoss, PListMLELoss, ADRMSELoss (a number).",
    '"kind": "sparse" trains a SPLADE model, or makes one from a masked language model: SpladeLoss around SparseMultipleNegativesRankingLoss, ' +
      'SparseMarginMSELoss or SparseDistillKLDivLoss. "kind": "multi-vector" trains late interaction: MultiVectorMultipleNegativesRankingLoss, ' +
      'MultiVectorDistillKLDivLoss, MultiVectorMarginMSELoss.',
    'If a run ends early, for example by Ctrl-C or a full disk, the trained weights are in a checkpoint next to the output folder. The result is a ' +
      'sentence-transformers folder with onnx/model.onnx, a model card, report.html with the curves, and history.jsonl with one line per step.',
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    const { parseTrainingConfig, trainFromConfig, trainingConfigSchema } = await import('@sentvec/training/node');
    if (args.schema) {
      const schema = trainingConfigSchema();
      await context.print({ text: JSON.stringify(schema, undefined, 2), json: schema });
      return exitCode.ok;
    }
    if (positionals.length !== 1 || args.config === undefined)
      throw new UsageError(`Name one configuration, not ${positionals.length}.`);
    const config = parseTrainingConfig(withDevice(await readJson(args.config), args.device), args.config);
    const progress = await trainingProgress();
    const download = await downloadProgress(typeof config.model === 'string' ? config.model : '');
    try {
      const { output, outcome } = await trainFromConfig(config, {
        openModel: (model) => findModel({ model }, context, download.update),
        directory: dirname(args.config),
        resume: args.resume,
        finish: args.finish,
        signal,
        onProgress: progress.update,
        onWarning: context.note,
        onEvaluation: ({ step, score }) => {
          progress.score(score);
          context.note(`${step === 0 ? 'Before' : `Step ${step}`}: score ${score.toFixed(4)}`);
        },
      });
      const { evaluations } = outcome.history;
      await context.print({
        text: [
          renderTable(
            [{ title: 'step', align: 'right' }, { title: 'score', align: 'right' }, { title: '' }],
            evaluations.map(({ step, score }) => [
              String(step),
              score.toFixed(4),
              step === outcome.bestStep ? 'kept' : '',
            ]),
          ),
          `The model is in ${output}. Its report.html shows the curves.`,
        ].join('\n'),
        json: {
          output,
          steps: outcome.steps,
          bestStep: outcome.bestStep,
          stoppedEarly: outcome.stoppedEarly,
          usedExamples: outcome.usedExamples,
          evaluations,
        },
      });
      return exitCode.ok;
    } catch (error) {
      if (!SentvecError.is(error, 'aborted')) throw error;
      noteWhereWeightsAre(error, args.config, context.note);
      return exitCode.interrupted;
    } finally {
      progress.stop();
      download.stop();
    }
  },
});

function noteWhereWeightsAre({ details }: SentvecError, config: string, note: (text: string) => void): void {
  const { checkpoint, checkpointStep } = details;
  if (typeof checkpoint !== 'string') return note('Stopped before the first step.');
  const command = (flag: string) => `sentvec train ${shellWords([config, flag])}`;
  note(
    `Stopped. The weights of step ${String(checkpointStep)} are in ${checkpoint}. Continue with: ${command('--resume')}\n` +
      `or write the model from the best weights so far with: ${command('--finish')}`,
  );
}

function withDevice(config: unknown, device: string | undefined): unknown {
  return device === undefined || typeof config !== 'object' ? config : { ...config, device };
}

async function readJson(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new SentvecError(
      'invalid-argument',
      `${file} cannot be read: ${(cause as Error).message}`,
      { file },
      { cause },
    );
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SentvecError(
      'invalid-argument',
      `${file} is not valid JSON: ${(cause as Error).message}`,
      { file },
      { cause },
    );
  }
}
