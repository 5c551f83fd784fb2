import { basename } from 'node:path';
import type { RunDescription } from './run-description.ts';

/** The `README.md` of a trained model: what it is, how to use it, on what and how it was trained, and how it scored. */
export function modelCard(run: RunDescription): string {
  const { config, model, dimension, maxLength } = run;
  const name = basename(config.output);
  const begun =
    typeof config.model === 'string'
      ? {
          metadata: `base_model: ${JSON.stringify(model.name)}\n`,
          words: `fine-tuned from ${code(model.name)}${model.revision ? ` (${model.revision})` : ''}`,
        }
      : { metadata: '', words: 'trained from random weights, with a tokenizer learnt from the data,' };
  return `---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
  - sentence-transformers
  - sentence-similarity
  - feature-extraction
${begun.metadata}---

# ${name}

A sentence transformer, ${begun.words} with sentvec. It maps texts of up to ${maxLength} tokens to
vectors of ${dimension} numbers.

## Use

\`\`\`ts
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';

const embedder = await loadEmbedder('./${name}', { backend: onnx() });
const { vectors } = await embedder.embed(['A first text.', 'A second text.']);
\`\`\`

\`\`\`python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("./${name}").encode(["A first text.", "A second text."])
\`\`\`

## Data

${table(['data', 'examples', 'columns', 'loss'], dataRows(run))}

## Recipe

${table(['setting', 'value'], recipeRows(run))}

## Scores

${scores(run)}

## Curves

![Loss, score, learning rate and norm of the gradients over the steps](curves.svg)

\`report.html\` shows them beside some pairs before and after.
`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function dataRows({ sets }: RunDescription): string[][] {
  return sets.map(({ name, examples, loss }) => [
    name,
    String(examples.columns[0]?.length ?? 0),
    String(examples.columns.length),
    `${loss.name} ${JSON.stringify(loss.parameters ?? {})}`,
  ]);
}

function recipeRows({ config, outcome }: RunDescription): string[][] {
  const {
    epochs,
    batchSize,
    gradientAccumulation,
    learningRate,
    schedule,
    warmup,
    weightDecay,
    clipNorm,
    dropout,
    freeze,
    seed,
  } = config;
  const settings = {
    epochs,
    batchSize,
    gradientAccumulation,
    learningRate,
    schedule,
    warmup,
    weightDecay,
    clipNorm,
    dropout,
    freeze: freeze.join(', ') || 'nothing',
    seed,
  };
  return [['steps', String(outcome.steps)], ...Object.entries(settings).map(([name, value]) => [name, String(value)])];
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
