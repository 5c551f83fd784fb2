// The model card that lies beside a trained model.
import { basename } from 'node:path';
import type { TrainingSet } from '../data/training-set.ts';
import type { TrainingOutcome } from '../training-request.ts';
import type { TrainingConfig } from './config.ts';
import type { LoadedTrainable } from './load-trainable.ts';

/** What a model card and a report tell of a run. */
export interface RunDescription {
  readonly config: TrainingConfig;
  readonly outcome: TrainingOutcome;
  readonly sets: readonly TrainingSet[];
  /** The model that was trained further. */
  readonly loaded: LoadedTrainable;
}

/** The `README.md` of a trained model: what it is, how to use it, on what and how it was trained, and how it scored. */
export function modelCard(run: RunDescription): string {
  const { config, loaded } = run;
  const { files: model, dimension, reader } = loaded;
  const name = basename(config.output);
  const origin =
    typeof config.model === 'string'
      ? {
          metadata: `base_model: ${JSON.stringify(model.name)}\n`,
          words: `fine-tuned from ${code(model.name)}${model.revision ? ` (${model.revision})` : ''}`,
        }
      : { metadata: '', words: 'trained from random weights, with a tokenizer learnt from the data,' };
  const [library, tag] = isInPython(loaded)
    ? ['library_name: sentence-transformers\n', '  - sentence-transformers\n']
    : ['', '  - sentvec\n'];
  return `---
${library}pipeline_tag: sentence-similarity
tags:
${tag}  - sentence-similarity
  - feature-extraction
${origin.metadata}---

# ${name}

A sentence transformer, ${origin.words} with sentvec. It maps texts of up to ${reader.maxLength} tokens to
vectors of ${dimension} numbers.

## Use

\`\`\`ts
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';

const embedder = await loadEmbedder('./${name}', { backend: onnx() });
const { vectors } = await embedder.embed(['A first text.', 'A second text.']);
\`\`\`
${isInPython(loaded) ? pythonUse(name) : ''}
## Data

${table(['data', 'examples', 'columns', 'loss'], dataRows(run))}

## Recipe

${table(['setting', 'value'], recipeRows(run))}

## Scores

${scores(run)}

## Curves

![Loss, score, learning rate and norm of the gradients over the steps](curves.svg)

\`report.html\` shows these curves, and the scores of some pairs before and after the training.
`;
}

/** Whether transformers and sentence-transformers have the architecture. */
function isInPython({ model }: LoadedTrainable): boolean {
  return model.definition.modelType !== 'universal-sentence-encoder-lite';
}

function pythonUse(name: string): string {
  return `
\`\`\`python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("./${name}").encode(["A first text.", "A second text."])
\`\`\`
`;
}

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
