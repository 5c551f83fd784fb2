// Writes the model card (README.md) of a trained model.
import { basename } from 'node:path';
import type { ModelKind } from '@sentvec/core';
import type { TrainingSet } from '../data/training-set.ts';
import type { TrainingOutcome } from '../training-request.ts';
import type { TrainingConfig } from './config.ts';
import type { LoadedTrainable } from './load-trainable.ts';

/** The facts about a run for its model card and its report. */
export interface RunDescription {
  readonly config: TrainingConfig;
  readonly outcome: TrainingOutcome;
  readonly sets: readonly TrainingSet[];
  /** The base model. */
  readonly loaded: LoadedTrainable;
}

/** The `README.md` of a trained model: description, usage, data, recipe and scores. */
export function modelCard(run: RunDescription): string {
  const { config, loaded } = run;
  const { kind, files: model } = loaded;
  const name = basename(config.output);
  const origin =
    typeof config.model === 'string'
      ? {
          metadata: `base_model: ${JSON.stringify(model.name)}\n`,
          words: `fine-tuned from ${code(model.name)}${model.revision ? ` (${model.revision})` : ''}`,
        }
      : { metadata: '', words: 'trained from random weights, with a tokenizer trained on the data,' };
  const [library, tag] = isInPython(loaded)
    ? ['library_name: sentence-transformers\n', '  - sentence-transformers\n']
    : ['', '  - sentvec\n'];
  return `---
${library}pipeline_tag: ${tasks[kind]}
tags:
${tag}${kindTags[kind].map((each) => `  - ${each}\n`).join('')}${origin.metadata}---

# ${name}

${describeModel(loaded, origin.words)}

## Use

${uses[kind](name)}${isInPython(loaded) ? pythonUses[kind](name) : ''}
## Data

${table(['data', 'examples', 'columns', 'loss'], dataRows(run))}

## Recipe

${table(['setting', 'value'], recipeRows(run))}

## Scores

${scores(run)}

## Curves

![Loss, score, learning rate and norm of the gradients over the steps](curves.svg)

\`report.html\` shows these curves, and the scores of some pairs before and after training.
`;
}

/** Whether transformers and sentence-transformers have the architecture. */
function isInPython({ model }: LoadedTrainable): boolean {
  return model.definition.modelType !== 'universal-sentence-encoder-lite';
}

/** One or two sentences about what the model computes. */
function describeModel({ kind, dimension, reader, labels = [] }: LoadedTrainable, origin: string): string {
  const { maxLength } = reader;
  const several = labels.length > 1 ? `scores for ${labels.join(', ')}` : 'a score';
  return {
    embedder: `A sentence transformer, ${origin} with sentvec. It maps texts of up to ${maxLength} tokens to\nvectors of ${dimension} numbers.`,
    reranker: `A reranker (cross-encoder), ${origin} with sentvec. It gives pairs of texts of up to ${maxLength} tokens\n${several}.`,
    sparse: `A sparse embedder (SPLADE), ${origin} with sentvec. It gives texts of up to ${maxLength} tokens a weight for\neach of ${dimension} terms, most of them 0.`,
    'multi-vector': `A late-interaction model (ColBERT), ${origin} with sentvec. It gives texts a vector of ${dimension}\nnumbers for each token.`,
  }[kind];
}

const tasks: Readonly<Record<ModelKind, string>> = {
  embedder: 'sentence-similarity',
  reranker: 'text-ranking',
  sparse: 'feature-extraction',
  'multi-vector': 'sentence-similarity',
};

const kindTags: Readonly<Record<ModelKind, readonly string[]>> = {
  embedder: ['sentence-similarity', 'feature-extraction'],
  reranker: ['cross-encoder', 'reranker'],
  sparse: ['sparse-encoder', 'sparse', 'splade'],
  'multi-vector': ['multi-vector', 'ColBERT'],
};

type Use = (name: string) => string;

function typeScript(loader: string, variable: string, call: string): Use {
  return (name) => `\`\`\`ts
import { ${loader} } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';

const ${variable} = await ${loader}('./${name}', { backend: onnx() });
${call}
\`\`\`
`;
}

const uses: Readonly<Record<ModelKind, Use>> = {
  embedder: typeScript(
    'loadEmbedder',
    'embedder',
    "const { vectors } = await embedder.embed(['A first text.', 'A second text.']);",
  ),
  reranker: typeScript(
    'loadReranker',
    'reranker',
    "const hits = await reranker.rank('A query.', ['A first document.', 'A second document.']);",
  ),
  sparse: typeScript(
    'loadSparseEmbedder',
    'embedder',
    "const { vectors } = await embedder.embedDocuments(['A first text.', 'A second text.']);",
  ),
  'multi-vector': typeScript(
    'loadMultiVectorEmbedder',
    'embedder',
    "const hits = await embedder.rank('A query.', ['A first document.', 'A second document.']);",
  ),
};

function python(name: string, importing: string, call: string): string {
  return `
\`\`\`python
from sentence_transformers import ${importing}

${call.replace('MODEL', `${importing}("./${name}")`)}
\`\`\`
`;
}

const pythonUses: Readonly<Record<ModelKind, Use>> = {
  embedder: (name) =>
    python(name, 'SentenceTransformer', 'vectors = MODEL.encode(["A first text.", "A second text."])'),
  reranker: (name) =>
    python(name, 'CrossEncoder', 'hits = MODEL.rank("A query.", ["A first document.", "A second document."])'),
  sparse: (name) =>
    python(name, 'SparseEncoder', 'vectors = MODEL.encode_document(["A first text.", "A second text."])'),
  'multi-vector': (name) =>
    python(name, 'MultiVectorEncoder', 'vectors = MODEL.encode_document(["A first text.", "A second text."])'),
};

function code(text: string): string {
  return `\`${text}\``;
}

function dataRows({ sets, outcome }: RunDescription): string[][] {
  return sets.map(({ name, examples, loss }, index) => [
    name,
    exampleCount(outcome.usedExamples[index]!, examples.columns[0]!.length),
    String(examples.columns.length),
    `${loss.name} ${JSON.stringify(loss.parameters ?? {})}`,
  ]);
}

function exampleCount(used: number, all: number): string {
  return used === all ? String(all) : `${used} of ${all}`;
}

/** The settings that a model card lists. */
const listedSettings = [
  'epochs',
  'batchSize',
  'gradientAccumulation',
  'learningRate',
  'schedule',
  'warmup',
  'weightDecay',
  'clipNorm',
  'dropout',
  'freeze',
  'lora',
  'seed',
] as const;

function recipeRows({ config, outcome }: RunDescription): string[][] {
  const text = (value: unknown) => {
    if (Array.isArray(value)) return value.join(', ') || 'nothing';
    return value === undefined ? 'no' : typeof value === 'string' ? value : JSON.stringify(value);
  };
  return [['steps', String(outcome.steps)], ...listedSettings.map((name) => [name, text(config[name])])];
}

function scores({ config, outcome }: RunDescription): string {
  const { evaluations } = outcome.history;
  if (evaluations.length === 0) return 'The run had no evaluation.';
  const rows = evaluations.map(({ step, score }) => [
    step === 0 ? 'before' : `step ${step}`,
    score.toFixed(4),
    step === outcome.bestStep ? 'kept' : '',
  ]);
  return `On \`${config.evaluation?.file}\` (${config.evaluation?.type}):\n\n${table(['when', 'score', ''], rows)}`;
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(titles), line(titles.map(() => '---')), ...rows.map(line)].join('\n');
}
