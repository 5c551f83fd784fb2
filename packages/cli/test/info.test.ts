// Compares the output of `sentvec info` for every golden model with the files of its folder and the results of PyTorch.
import { existsSync, readFileSync } from 'node:fs';
import { goldenArchitectureNames, goldenCallNames, goldenModelNames, goldenPath } from '@sentvec/testing';
import { expect, test } from 'vitest';
import type { CommandContext } from '../src/command.ts';
import { info } from '../src/commands/info.ts';

/** The values read from the files of a golden model. */
interface GoldenFile {
  readonly model_type?: string;
  readonly pooling_mode?: string | readonly string[];
  readonly prompts?: Readonly<Record<string, string>>;
  readonly types?: Readonly<Record<string, string>>;
  readonly structure?: Readonly<Record<string, readonly string[]>>;
  readonly dimension?: number;
  readonly max_seq_length?: number | null;
  readonly similarity_fn_name?: string;
}

/** Reads a JSON file of a golden model. Returns `undefined` if it does not exist. */
function json(name: string, path: string): GoldenFile {
  const file = goldenPath(`models/${name}/${path}`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as GoldenFile) : {};
}

/** Returns the modules for a text, including those of the route of a Router. */
function modulesOf(name: string, route: string | undefined): readonly { kind: string; path: string }[] {
  const { structure, types } = json(name, 'router_config.json');
  const modules = json(name, 'modules.json') as readonly { type: string; path: string }[];
  const kindOf = (type: string): string => type.split('.').at(-1)!;
  return modules.flatMap(({ type, path }) =>
    kindOf(type) === 'Router'
      ? structure![route!]!.map((each) => ({ kind: kindOf(types![each]!), path: each }))
      : [{ kind: kindOf(type), path }],
  );
}

const kinds: Readonly<Record<string, string>> = { Dense: 'dense', Normalize: 'normalize', LayerNorm: 'layer-norm' };

/** Poolings in the older format, with one flag per mode, in the order in which their vectors are concatenated. */
const flags = ['cls_token', 'max_tokens', 'mean_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens', 'lasttoken'];

/** Returns the pooling modes from the configuration in either format. */
function poolingOf(name: string, path: string): string {
  const { pooling_mode: modes, ...others } = json(name, `${path}/config.json`);
  if (modes !== undefined) return [modes].flat().join('+');
  const on = flags.filter((flag) => (others as Record<string, unknown>)[`pooling_mode_${flag}`] === true);
  return on.map((flag) => flag.replace(/(?<!sqrt_len)_tokens?$/u, '')).join('+');
}

interface Facts {
  readonly dimension: number;
  readonly truncateDim: number | null;
  readonly tokenizer: { readonly maxLength: number };
  readonly pooling: { readonly name: string };
  readonly projections: readonly { readonly kind: string }[];
  readonly routes: readonly { readonly route: string }[];
}

/** Returns the JSON output of the command. */
async function factsOf(name: string): Promise<Facts> {
  const model = goldenPath(`models/${name}`);
  let facts: unknown;
  const context: CommandContext<{ model: string; backend: string; selfCheck: boolean }> = {
    args: { model, backend: 'onnx', selfCheck: false },
    positionals: [model],
    signal: new AbortController().signal,
    note: () => {},
    report: async () => {},
    print: async (output) => {
      facts = output.json;
    },
  };
  await info.run(context);
  return facts as Facts;
}

const names = [...goldenModelNames, ...goldenArchitectureNames, ...goldenCallNames];

test.each(names)('%s', async (name) => {
  const expected = json(name, 'expected.json');
  const { prompts = {} } = json(name, 'config_sentence_transformers.json');
  const facts = await factsOf(name);
  const hasRoutes = name.includes('router');
  const [encoder, ...rest] = modulesOf(name, hasRoutes ? 'document' : undefined);
  const config = json(name, encoder!.path === '' ? 'config.json' : `${encoder!.path}/config.json`);
  const isStatic = encoder!.kind === 'StaticEmbedding';
  expect(facts).toMatchObject({
    encoder: { modelType: isStatic ? 'static embeddings' : config.model_type },
    similarity: expected.similarity_fn_name,
    prompts,
  });
  expect(facts.truncateDim ?? facts.dimension).toBe(expected.dimension);
  const { maxLength } = facts.tokenizer;
  expect(maxLength).toBe(expected.max_seq_length ?? maxLength);
  const pooling = rest.find(({ kind }) => kind === 'Pooling');
  expect(facts.pooling.name).toBe(pooling === undefined ? 'mean' : poolingOf(name, pooling.path));
  expect(facts.projections.map(({ kind }) => kind)).toEqual(rest.flatMap(({ kind }) => kinds[kind] ?? []));
  const routeOf = (role: string): string | undefined => (hasRoutes ? role : undefined);
  const taskOf = (task: string): string | undefined => (name === 'tiny-jina3-tasks' ? task : undefined);
  expect(facts).toMatchObject({
    queries: {
      prompt: prompts[taskOf('retrieval.query') ?? 'query'] ?? '',
      route: routeOf('query'),
      task: taskOf('retrieval.query'),
    },
    documents: {
      prompt: prompts[taskOf('retrieval.passage') ?? 'document'] ?? prompts['passage'] ?? '',
      route: routeOf('document'),
      task: taskOf('retrieval.passage'),
    },
  });
  expect(facts.routes.map(({ route }) => route)).toEqual(hasRoutes ? ['query', 'document'] : []);
});
