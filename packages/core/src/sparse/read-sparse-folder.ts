/**
 * Reads the folder of a sparse model: that of sentence-transformers (`SparseEncoder`, versions 5 and 6), or a plain
 * transformers folder with a masked language modeling head.
 */
import { SentvecError } from '../errors.ts';
import { readConfigFile, requireConfigFile } from '../model-folder/config-file.ts';
import { listedOnce, withReplacedFiles } from '../model-folder/model-files.ts';
import { architectureOf, findModelKind, otherKindError } from '../model-folder/model-kind.ts';
import { readModelSettings } from '../model-folder/model-settings.ts';
import { filePath, readModules, type ModelModule } from '../model-folder/modules.ts';
import { followRoute } from '../model-folder/router-module.ts';
import { readTransformerModule } from '../model-folder/transformer-module.ts';
import type { ModelFiles, SimilarityFunction } from '../types.ts';
import type { SparseRole } from './sparse-types.ts';

/** How the texts of one role are turned into vectors. */
export type SparseRoute =
  /** By an encoder, whose `config.json` requests term weights. Routes with equal `path` are the same. */
  | { readonly kind: 'encoder'; readonly path: string; readonly files: ModelFiles; readonly dimension: number }
  /** By a table with a weight for each token, in the folder of a SparseStaticEmbedding. */
  | {
      readonly kind: 'table';
      readonly files: ModelFiles;
      readonly maxLength: number;
      readonly lowerCase: boolean;
    };

/** The configuration of a sparse model. */
export interface SparseFolder {
  readonly routes: Readonly<Record<SparseRole, SparseRoute>>;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  /** Assumptions that were made, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Reads the configuration of a sparse model. The folder is untrusted: nothing in it is executed, and paths cannot lead
 * out of it.
 * @throws SentvecError `invalid-model`; `unsupported-model` for models of other kinds, and for unsupported modules and
 * settings
 */
export async function readSparseFolder(model: ModelFiles): Promise<SparseFolder> {
  const files = listedOnce(model);
  const found = await findModelKind(files);
  const modules = await readModules(files);
  const config = modules === undefined ? await readConfigFile(files, 'config.json') : undefined;
  const predictsTokens = config !== undefined && architectureOf(config)?.endsWith('ForMaskedLM') === true;
  if (found.kind !== 'sparse' && !(found.kind === 'embedder' && predictsTokens))
    throw otherKindError(found, 'it does not compute term weights');
  const { prompts, defaultPrompt, similarityFunction: stored } = await readModelSettings(files);
  const stated = await readConfigFile(files, 'config_sentence_transformers.json');
  const similarityFunction = stated?.string('similarity_fn_name') === undefined ? 'dot' : stored;
  const settings = { prompts, defaultPrompt, similarityFunction } as const;
  if (modules === undefined) {
    if ((await files.list()).includes('idf.json'))
      throw weightsElsewhereError(files.name, 'has an idf.json with the weights of queries, but no modules.json');
    const route = await encoderRoute(files, '', { pooling_strategy: 'max', activation_function: 'relu' });
    const notes = [
      `${files.name} has no modules.json, so SPLADE max pooling with log(1 + ReLU) was assumed, as sentence-transformers does.`,
    ];
    return { ...settings, routes: { query: route, document: route }, notes };
  }
  const isRouted = modules.some(({ kind }) => kind === 'Router' || kind === 'Asym');
  const routeOf = async (role: SparseRole): Promise<SparseRoute> =>
    readRoute(files, (await followRoute(files, modules, isRouted ? role : undefined)).modules);
  return { ...settings, routes: { query: await routeOf('query'), document: await routeOf('document') }, notes: [] };
}

/**
 * Names of the encoder module: sentence-transformers 5 has an `MLMTransformer`, version 6 a `Transformer` with the task
 * `fill-mask`.
 */
const transformers: ReadonlySet<string> = new Set(['Transformer', 'MLMTransformer']);

async function readRoute(files: ModelFiles, modules: readonly ModelModule[]): Promise<SparseRoute> {
  const [first, second, ...rest] = modules;
  if (first?.kind === 'SparseStaticEmbedding' && second === undefined) {
    const config = await readConfigFile(files, filePath(first.path, 'config.json'));
    const path = config?.string('path');
    // sentence-transformers looks for such a file in the working directory or in another repository of the hub.
    if (path?.endsWith('.json'))
      throw weightsElsewhereError(config!.file, `says that the weights are in ${JSON.stringify(path)}`);
    const { encoderFiles, maxLength = Infinity, lowerCase } = await readTransformerModule(files, first.path);
    return { kind: 'table', files: encoderFiles, maxLength, lowerCase };
  }
  if (first !== undefined && transformers.has(first.kind) && second?.kind === 'SpladePooling' && rest.length === 0) {
    const config = await requireConfigFile(files, filePath(second.path, 'config.json'));
    const settings = {
      pooling_strategy: config.string('pooling_strategy') ?? 'max',
      activation_function: config.string('activation_function') ?? 'relu',
    };
    checkKnown(config.file, 'pooling_strategy', settings.pooling_strategy, ['max', 'sum']);
    checkKnown(config.file, 'activation_function', settings.activation_function, ['relu', 'log1p_relu']);
    return encoderRoute(files, first.path, settings);
  }
  const file = `${files.name}/modules.json`;
  throw new SentvecError(
    'unsupported-model',
    `${file} lists ${modules.map(({ kind }) => kind).join(', ')}. sentvec supports sparse models with a Transformer and a SpladePooling, or with a SparseStaticEmbedding.`,
    { file },
  );
}

/** @param how predicate of a sentence whose subject is `file` */
function weightsElsewhereError(file: string, how: string): SentvecError {
  const message = `${file} ${how}. sentvec reads the weights of queries from the safetensors of a SparseStaticEmbedding. Convert the model once in Python, with SparseStaticEmbedding.from_json(…) in a Router and save_pretrained(…).`;
  return new SentvecError('unsupported-model', message, { file });
}

function checkKnown(file: string, key: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  const message = `${file} sets "${key}" to "${value}", which sentvec does not support. Supported are ${known.join(', ')}.`;
  throw new SentvecError('unsupported-model', message, { file });
}

/** Files that do not apply to the encoder of term weights, such as the self-check of the original outputs. */
const otherFiles =
  /\.onnx(?:[._]data)?$|(?:^|\/)self-check\.json$|^(?:modules|config_sentence_transformers)\.json$|^README\.md$/u;

/** A view of an encoder's files in which `config.json` requests term weights, without the files of other modules. */
async function encoderRoute(
  files: ModelFiles,
  path: string,
  termWeights: Readonly<Record<string, string>>,
): Promise<SparseRoute> {
  const { encoderFiles, maxLength, lowerCase } = await readTransformerModule(files, path, { task: 'fill-mask' });
  const config = await requireConfigFile(encoderFiles, 'config.json');
  const dimension = config.required('vocab_size', config.size('vocab_size'));
  const paths = (await encoderFiles.list()).filter((each) => !otherFiles.test(each));
  if (!paths.some((each) => /^model.*\.safetensors(?:\.index\.json)?$/u.test(each)))
    throw new SentvecError(
      'unsupported-model',
      `${encoderFiles.name} has no model.safetensors. Sparse vectors are computed from the weights themselves, not from an ONNX file or from pytorch_model.bin: save the model in safetensors.`,
      { file: encoderFiles.name },
    );
  const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const contents = new Map([
    ['config.json', json({ ...config.values, term_weights: termWeights })],
    ['sentence_bert_config.json', json({ max_seq_length: maxLength, do_lower_case: lowerCase })],
  ]);
  return { kind: 'encoder', path, files: withReplacedFiles(encoderFiles, paths, contents), dimension };
}
