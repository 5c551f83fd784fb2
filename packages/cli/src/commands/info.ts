// `sentvec info`: shows the parts and properties of a model.
import type { Embedder, HeadSource, ModelFiles, ModelKind, Projection, SparseEmbedder } from '@sentvec/core';
import { type Command, defineCommand } from '../command.ts';
import { describeRoles, roleRows } from '../describe-roles.ts';
import {
  backendArguments,
  findModel,
  type LoadContext,
  loadRerankerOf,
  modelArguments,
  type ModelChoice,
  modelPositional,
  withAnyEmbedder,
} from '../model.ts';
import { chooseBackend } from '../backends.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const info: Command = defineCommand({
  name: 'info',
  summary: 'Show the parts of a model, its sizes, its prompts and the fingerprint of its space.',
  args: {
    model: modelPositional,
    revision: modelArguments.revision,
    task: modelArguments.task,
    route: modelArguments.route,
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec info', does: 'The default model' },
    { line: 'sentvec info ./my-model --json', does: 'A folder; output in JSON' },
  ],
  async run(context) {
    const { args, positionals } = context;
    if (positionals.length > 1) throw new UsageError(`Name one model, not ${positionals.length}.`);
    const { readModelKind } = await import('@sentvec/core');
    const files = await findModel(args, context, () => {});
    const kind = await readModelKind(files);
    if (kind === 'reranker' || kind === 'multi-vector') {
      const facts = await describeOther(kind, files, args, context);
      const rows = Object.entries(facts).map(([name, value]) => [name, renderValue(value)]);
      return context.print({ text: renderTable([{ title: 'model' }, { title: files.name }], rows), json: facts });
    }
    await withAnyEmbedder(args, context, async (embedder) => {
      if (embedder.kind === 'sparse') {
        const facts = await describeSparse(embedder);
        return context.print({ text: renderSparse(facts), json: facts });
      }
      const facts = await describe(embedder);
      return context.print({ text: renderFacts(facts), json: facts });
    });
  },
});

/** Describes how a late-interaction model processes queries and documents. */
async function describeMultiVector(files: ModelFiles, choice: ModelChoice, { signal, note }: LoadContext) {
  const { loadMultiVectorEmbedder } = await import('@sentvec/core/node');
  const threads = wholeNumber(choice.threads, '--threads');
  const backend = await chooseBackend(choice.backend, { threads, variant: choice.variant });
  const onWarning = (message: string): void => note(`Note: ${message}`);
  await using embedder = await loadMultiVectorEmbedder(files, {
    backend,
    selfCheck: choice.selfCheck,
    signal,
    onWarning,
  });
  const { maxLength, prompts, head, dimension, similarity, tokenizer, encoder } = embedder;
  return {
    tokenizer: { library: tokenizer.name, vocabularySize: tokenizer.vocabularySize },
    hiddenSize: encoder.hiddenSize,
    maxLength,
    prompts,
    projections: head.projections.map(describeProjection),
    dimension,
    similarity,
    fingerprint: (await embedder.fingerprint()).hash,
  };
}

/** Describes a reranker or a late-interaction model. */
async function describeOther(kind: ModelKind, files: ModelFiles, choice: ModelChoice, context: LoadContext) {
  const { readJsonObject } = await import('@sentvec/core');
  const type = (await readJsonObject(files, 'config.json'))?.['model_type'];
  const common = {
    kind,
    model: files.name,
    revision: files.revision ?? null,
    directory: files.directory ?? null,
    modelType: typeof type === 'string' ? type : null,
    files: await measureFiles(files),
  };
  if (kind === 'multi-vector') return { ...common, ...(await describeMultiVector(files, choice, context)) };
  if (kind !== 'reranker') return common;
  const reranker = await loadRerankerOf(choice, context);
  try {
    const { labels, activation, maxLength, prompts, defaultPrompt = null, tokenizer, encoder } = reranker;
    const { name: library, vocabularySize } = tokenizer;
    return {
      ...common,
      tokenizer: { library, vocabularySize, maxLength },
      hiddenSize: encoder.hiddenSize,
      labels,
      activation,
      prompts,
      defaultPrompt,
    };
  } finally {
    await reranker.dispose();
  }
}

function renderValue(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

async function describe(embedder: Embedder) {
  const { model, tokenizer, encoder, head, route, task } = embedder;
  const { hash, parts } = await embedder.fingerprint();
  return {
    kind: embedder.kind,
    model: model.name,
    revision: model.revision ?? null,
    directory: model.directory ?? null,
    tokenizer: { library: tokenizer.name, vocabularySize: tokenizer.vocabularySize, maxLength: embedder.maxLength },
    encoder: {
      modelType: await modelType(model, route),
      hiddenSize: encoder.hiddenSize,
      parameters: await countParameters(model, route),
    },
    pooling: {
      name: head.pooling.name,
      includePrompt: head.pooling.includePrompt ?? true,
      source: embedder.headSource ?? null,
    },
    projections: head.projections.map(describeProjection),
    dimension: embedder.dimension,
    similarity: embedder.similarityFunction,
    prompts: embedder.prompts,
    defaultPrompt: embedder.defaultPrompt ?? null,
    route: route ?? null,
    task: task ?? null,
    ...(await describeRoles(model, route)),
    files: await measureFiles(model),
    fingerprint: { hash, parts },
  };
}

type Facts = Awaited<ReturnType<typeof describe>>;

async function describeSparse(embedder: SparseEmbedder) {
  const { kind, model, dimension, maxLength, hasStaticQueries, similarityFunction, prompts } = embedder;
  const { hash, parts } = await embedder.fingerprint();
  return {
    kind,
    model: model.name,
    revision: model.revision ?? null,
    directory: model.directory ?? null,
    dimension,
    maxLength,
    hasStaticQueries,
    similarity: similarityFunction,
    prompts,
    files: await measureFiles(model),
    fingerprint: { hash, parts },
  };
}

function renderSparse(facts: Awaited<ReturnType<typeof describeSparse>>): string {
  const { model, revision, directory, maxLength, files } = facts;
  const number = (value: number): string => value.toLocaleString('en');
  const prompts = Object.entries(facts.prompts).map(([name, text]) => `${name}: ${JSON.stringify(text)}`);
  const rows: [string, string][] = [
    ['model', revision === null ? model : `${model} (${revision})`],
    ...(directory === null ? [] : [['folder', directory] as [string, string]]),
    ['kind', 'sparse: weights of vocabulary terms'],
    ['documents', `by an encoder, up to ${number(maxLength.document)} tokens`],
    ['queries', `by ${facts.hasStaticQueries ? 'a table' : 'the encoder'}, up to ${number(maxLength.query)} tokens`],
    ['vectors', `${number(facts.dimension)} terms, compared by ${facts.similarity}`],
    ['prompts', prompts.join('; ') || 'none'],
    ['size', `${(files.bytes / 1e6).toFixed(1)} MB in ${files.count} files`],
    ['fingerprint', facts.fingerprint.hash],
  ];
  return renderTable([{ title: '' }, { title: '' }], rows).trimStart();
}

async function modelType(model: ModelFiles, route: string | undefined): Promise<string | null> {
  const { readJsonObject, readModelFolder } = await import('@sentvec/core');
  const { encoder, encoderFiles } = await readModelFolder(model, { route });
  if (encoder === 'static') return 'static embeddings';
  const type = (await readJsonObject(encoderFiles, 'config.json'))?.['model_type'];
  return typeof type === 'string' ? type : null;
}

/** Number of parameters in the encoder's safetensors, including unused ones; `null` if there is no safetensors file. */
async function countParameters(model: ModelFiles, route: string | undefined): Promise<number | null> {
  const { readModelFolder, readWeights } = await import('@sentvec/core');
  const { encoderFiles } = await readModelFolder(model, { route });
  if (!(await encoderFiles.list()).some((path) => /^model\.safetensors(\.index\.json)?$/.test(path))) return null;
  const weights = await readWeights(encoderFiles);
  return weights
    .names()
    .reduce((sum, name) => sum + weights.shape(name).reduce((product, extent) => product * extent, 1), 0);
}

function describeProjection(projection: Projection) {
  switch (projection.kind) {
    case 'dense': {
      const { weight, activation, bias, residual } = projection;
      return {
        kind: 'dense' as const,
        inputs: weight.cols,
        outputs: weight.rows,
        activation,
        bias: bias !== undefined,
        residual: residual ?? false,
      };
    }
    case 'truncate':
      return { kind: 'truncate' as const, size: projection.size };
    default:
      return { kind: projection.kind };
  }
}

async function measureFiles(model: ModelFiles): Promise<{ count: number; bytes: number }> {
  const paths = await model.list();
  const sizes = await Promise.all(
    paths.map(async (path) => (await model.size?.(path)) ?? (await model.read(path)).byteLength),
  );
  return { count: paths.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

function renderFacts({
  model,
  revision,
  directory,
  tokenizer,
  encoder,
  pooling,
  projections,
  ...facts
}: Facts): string {
  const number = (value: number): string => value.toLocaleString('en');
  const prompts = Object.entries(facts.prompts).map(
    ([name, text]) => `${name}${name === facts.defaultPrompt ? ' (default)' : ''}: ${JSON.stringify(text)}`,
  );
  const rows: [string, string][] = [
    ['model', revision === null ? model : `${model} (${revision})`],
    ...(directory === null ? [] : [['folder', directory] as [string, string]]),
    [
      'tokenizer',
      `${tokenizer.library}, ${number(tokenizer.vocabularySize)} pieces, texts of up to ${number(tokenizer.maxLength)} tokens`,
    ],
    [
      'encoder',
      [
        encoder.modelType ?? 'unnamed',
        `${number(encoder.hiddenSize)} wide`,
        ...(encoder.parameters === null ? [] : [`${number(encoder.parameters)} numbers`]),
      ].join(', '),
    ],
    [
      'pooling',
      `${pooling.name}${pooling.includePrompt ? '' : ', without the prompt'}${sourceOfPooling[pooling.source ?? 'modules']}`,
    ],
    ['projection', projections.map(renderProjection).join(', ') || 'none'],
    [
      'vectors',
      `${number(facts.dimension)} dimensions${facts.truncateDim === null ? '' : `, of which the first ${facts.truncateDim} are kept`}, compared by ${facts.similarity}`,
    ],
    ['prompts', prompts.join('; ') || 'none'],
    ...roleRows(facts),
    ['size', `${(facts.files.bytes / 1e6).toFixed(1)} MB in ${facts.files.count} files`],
    ['fingerprint', facts.fingerprint.hash],
  ];
  return renderTable([{ title: '' }, { title: '' }], rows).trimStart();
}

/** Text for {@link Embedder.headSource}. Empty if the pooling is in the model's own files. */
const sourceOfPooling: Readonly<Record<HeadSource, string>> = {
  modules: '',
  caller: '',
  graph: ', computed by the ONNX file',
  'base-model': ', as in the base model on its model card',
  assumed: ', assumed, because the folder does not say',
};

function renderProjection(projection: Facts['projections'][number]): string {
  if (projection.kind === 'dense') return `dense ${projection.inputs} → ${projection.outputs} ${projection.activation}`;
  return projection.kind === 'truncate' ? `truncate to ${projection.size}` : projection.kind;
}
