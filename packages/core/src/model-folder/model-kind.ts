// Determines the kind of model in a folder (embedder, reranker, sparse or multi-vector), and refuses a kind that the
// called loader does not support.
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { filePath, lastSegment, readModules, type ModelModule } from './modules.ts';

/**
 * The kinds of models, by what they compute. `embedder`: one vector for each text. `reranker`: a score for each pair of
 * texts. `sparse`: weights for the terms of its vocabulary. `multi-vector`: a vector for each token of a text.
 */
export type ModelKind = 'embedder' | 'reranker' | 'sparse' | 'multi-vector';

/** Description of each kind for messages, and the function that loads it. */
const kinds: Readonly<Record<ModelKind, { readonly words: string; readonly loader: string }>> = {
  embedder: { words: 'an embedder, which gives one vector for each text', loader: 'loadEmbedder()' },
  reranker: { words: 'a reranker, which scores pairs of texts', loader: 'loadReranker()' },
  sparse: { words: 'a sparse embedder, which weighs the terms of its vocabulary', loader: 'loadSparseEmbedder()' },
  'multi-vector': {
    words: 'a late-interaction model, which gives a vector for each token',
    loader: 'loadMultiVectorEmbedder()',
  },
};

/** Kinds by `model_type` in `config_sentence_transformers.json`. */
const kindsOfModelTypes: Readonly<Record<string, ModelKind>> = {
  SentenceTransformer: 'embedder',
  CrossEncoder: 'reranker',
  SparseEncoder: 'sparse',
  MultiVectorEncoder: 'multi-vector',
  ColBERT: 'multi-vector',
};

/** Modules that only one kind of model has. */
const kindsOfModules: Readonly<Record<string, ModelKind>> = {
  LogitScore: 'reranker',
  SpladePooling: 'sparse',
  SparseStaticEmbedding: 'sparse',
  MultiVectorMask: 'multi-vector',
};

/** The kind of a model, and the entry of its configuration that determines it. */
export interface FoundKind {
  readonly kind: ModelKind;
  /** The beginning of a sentence, for example `NAME/config.json describes a BertForSequenceClassification`. */
  readonly evidence: string;
}

/**
 * Determines the kind of model in a folder from its configurations. As in sentence-transformers, a plain transformers
 * folder that contains only an encoder counts as an embedder.
 * @throws SentvecError `unsupported-model` for a type of model that sentvec does not know, `invalid-model`
 */
export async function findModelKind(files: ModelFiles): Promise<FoundKind> {
  const settings = await readConfigFile(files, 'config_sentence_transformers.json');
  const modelType = settings?.string('model_type');
  if (settings !== undefined && modelType !== undefined) {
    const evidence = `${settings.file} describes a ${modelType}`;
    if (Object.hasOwn(kindsOfModelTypes, modelType)) return { kind: kindsOfModelTypes[modelType]!, evidence };
    throw new SentvecError(
      'unsupported-model',
      `${evidence}; sentvec reads models of the types ${Object.keys(kindsOfModelTypes).join(', ')}.`,
      { file: settings.file },
    );
  }
  const marker = ['query_prefix', 'document_prefix'].find((key) => settings?.string(key) !== undefined);
  if (marker !== undefined) return { kind: 'multi-vector', evidence: `${settings!.file} has a "${marker}" of PyLate` };
  const modules = await readModules(files);
  return modules === undefined ? kindOfPlainFolder(files) : kindOfModules(files, modules);
}

/** The kind of model in a folder; see {@link findModelKind}. */
export async function readModelKind(files: ModelFiles): Promise<ModelKind> {
  return (await findModelKind(files)).kind;
}

/**
 * Refuses a folder with a model of another kind.
 * @throws SentvecError `unsupported-model`; `details.kind` is the kind of the model
 */
export async function checkModelKind(files: ModelFiles, wanted: ModelKind): Promise<void> {
  const { kind, evidence } = await findModelKind(files);
  if (kind !== wanted) throw otherKindError({ kind, evidence }, `it is not ${kinds[wanted].words}`);
}

/** The error for a model of a kind that the caller does not load. */
export function otherKindError({ kind, evidence }: FoundKind, objection: string): SentvecError {
  const { words, loader } = kinds[kind];
  return new SentvecError('unsupported-model', `${evidence}: ${words}; ${objection}. Load it with ${loader}.`, {
    kind,
  });
}

async function kindOfModules(files: ModelFiles, modules: readonly ModelModule[]): Promise<FoundKind> {
  const router = modules.find(({ kind }) => kind === 'Router' || kind === 'Asym');
  const routed = router && (await readConfigFile(files, filePath(router.path, 'router_config.json')))?.object('types');
  const types = Object.values(routed?.values ?? {}).filter((type) => typeof type === 'string');
  const names = [...modules.map(({ kind }) => kind), ...types.map(lastSegment)];
  const distinctive = names.find((name) => Object.hasOwn(kindsOfModules, name));
  const file = `${files.name}/modules.json`;
  if (distinctive !== undefined)
    return { kind: kindsOfModules[distinctive]!, evidence: `${file} names the module ${distinctive}` };
  // A single Transformer module may contain a head (a reranker of sentence-transformers 6): its own config decides.
  const alone = modules.length === 1 && modules[0]!.kind === 'Transformer' && modules[0]!.path === '';
  return alone ? kindOfPlainFolder(files) : { kind: 'embedder', evidence: `${file} lists ${names.join(', ')}` };
}

async function kindOfPlainFolder(files: ModelFiles): Promise<FoundKind> {
  const config = await readConfigFile(files, 'config.json');
  const name = config && architectureOf(config);
  const evidence = `${files.name}/config.json describes a ${name ?? 'model'}`;
  if (name?.endsWith('ForSequenceClassification')) return { kind: 'reranker', evidence };
  if (name === 'HF_ColBERT') return { kind: 'multi-vector', evidence };
  return { kind: 'embedder', evidence };
}

/** The class that saved a model: the first of `architectures` in its `config.json`. */
export function architectureOf(config: ConfigFile): string | undefined {
  const [first] = [config.values['architectures']].flat();
  return typeof first === 'string' ? first : undefined;
}
