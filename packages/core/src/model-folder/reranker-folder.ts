/**
 * Reads the folder of a reranker in any of its layouts: the modules of sentence-transformers 6, a causal language model
 * that answers yes or no, or a plain transformers folder, which states the activation in older ways.
 */
import { SentvecError } from '../errors.ts';
import { createPooling, graphPooling } from '../pooling/pooling.ts';
import { isActivation } from '../projection/activation.ts';
import { outputSize } from '../projection/head.ts';
import type { Activation, Head, ModelFiles } from '../types.ts';
import { readWeights } from '../weights/read-weights.ts';
import { checkClassificationHead, readClassificationHead, paddingAfterLast } from './classification-head.ts';
import { readConfigFile, requireConfigFile, type ConfigFile } from './config-file.ts';
import type { EncoderPart, FindGraphOutput, ModelFolder } from './model-folder.ts';
import { architectureOf, checkModelKind } from './model-kind.ts';
import { readModelSettings } from './model-settings.ts';
import { assignRoles } from './module-roles.ts';
import { filePath, lastSegment, readModules, type ModelModule } from './modules.ts';
import { readHead } from './read-head.ts';
import { readTransformerConfig, readTransformerModule } from './transformer-module.ts';

/** The configuration of a reranker. */
export interface RerankerFolder extends ModelFolder {
  /** Names of the scores that the model computes for a pair, in order. */
  readonly labels: readonly string[];
  /** The activation that turns the head's numbers into scores. */
  readonly activation: Activation;
  /** Id of the padding token, for a model that is scored by its last token: trailing padding tokens are skipped. */
  readonly paddingAfterLast?: number | undefined;
  /** Variables for the chat template in addition to the messages; only for models whose pairs are chat messages. */
  readonly chat: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Reads the folder of a reranker.
 * @param findScores finds the output of the ONNX file that contains scores; if there is one, no head is read
 * @throws SentvecError `unsupported-model` for another kind of model, and for unsupported settings, which the message
 * names; `invalid-model`
 */
export async function readRerankerFolder(files: ModelFiles, findScores: FindGraphOutput): Promise<RerankerFolder> {
  const modules = await readModules(files);
  const config = await readConfigFile(files, 'config.json');
  const isCausal = modules === undefined && config !== undefined && architectureOf(config)?.endsWith('ForCausalLM');
  // A plain language model may be an embedder or a reranker; the caller decides by loading it as a reranker.
  if (!isCausal) await checkModelKind(files, 'reranker');
  const settings = await readModelSettings(files);
  const parts = await readParts(files, modules, isCausal === true);
  const { encoder, labels: named, chat, readHead: readOwnHead } = parts;
  const scores = await findScores(encoder);
  const head = scores === undefined ? await readOwnHead() : { pooling: graphPooling(scores), projections: [] };
  const labels = labelsOf(files, named, head, encoder.hiddenSize ?? 0);
  const { activation, notes } = await readActivation(modules && files, encoder.encoderFiles);
  return {
    ...settings,
    ...encoder,
    hiddenSize: scores === undefined ? encoder.hiddenSize : undefined,
    addSpecialTokens: chat === undefined,
    pairs: chat === undefined,
    head,
    headSource: scores === undefined ? 'modules' : 'graph',
    labels,
    activation: activation ?? (labels.length === 1 ? 'Sigmoid' : 'Identity'),
    chat,
    paddingAfterLast: parts.paddingAfterLast,
    notes,
  };
}

/** The parts of a reranker, which each layout stores in other places. */
interface RerankerParts {
  readonly encoder: EncoderPart;
  /** Names of the labels in the configuration; `undefined` when it has none. */
  readonly labels: readonly string[] | undefined;
  readonly chat: RerankerFolder['chat'];
  readonly paddingAfterLast?: number | undefined;
  /** Pooling and layers that give a number for each label. Reads weights. */
  readonly readHead: () => Promise<Head>;
}

async function readParts(
  files: ModelFiles,
  modules: readonly ModelModule[] | undefined,
  isCausal: boolean,
): Promise<RerankerParts> {
  if (isCausal) return readLanguageModel(files, '', undefined);
  const scores = modules?.find(({ kind }) => kind === 'LogitScore');
  if (modules !== undefined && scores !== undefined) return readLanguageModel(files, modules[0]!.path, scores);
  if (modules !== undefined && modules.length > 1) return readModularReranker(files, modules);
  const encoder = await readTransformerModule(files, modules?.[0]?.path ?? '', { task: 'sequence-classification' });
  const config = await requireConfigFile(encoder.encoderFiles, 'config.json');
  checkClassificationHead(config);
  const readOwnHead = (): Promise<Head> => readClassificationHead(encoder.encoderFiles);
  const chat = await chatOf(encoder.encoderFiles, false);
  const parts = { encoder, labels: readLabels(config), chat, readHead: readOwnHead };
  return { ...parts, paddingAfterLast: paddingAfterLast(config) };
}

/** Reads a reranker that consists of a Transformer, a Pooling, and layers, the last of which computes the scores. */
async function readModularReranker(files: ModelFiles, modules: readonly ModelModule[]): Promise<RerankerParts> {
  const roles = assignRoles(`${files.name}/modules.json`, modules, []);
  const encoder = await readTransformerModule(files, roles.encoder.path);
  return {
    encoder,
    labels: undefined,
    chat: await chatOf(encoder.encoderFiles, false),
    readHead: async () => (await readHead(files, roles, encoder.hiddenSize, {}, 'scores')).head,
  };
}

/**
 * Reads a reranker that is a causal language model. Its score says how much likelier one next token (such as "yes") is
 * than another one (such as "no").
 */
async function readLanguageModel(
  files: ModelFiles,
  encoderPath: string,
  scores: ModelModule | undefined,
): Promise<RerankerParts> {
  const encoder = await readTransformerModule(files, encoderPath, { task: 'text-generation' });
  const { encoderFiles } = encoder;
  const config = await requireConfigFile(encoderFiles, 'config.json');
  if (config.number('final_logit_softcapping') !== undefined)
    throw unsupported(config, 'sets "final_logit_softcapping", which sentvec does not support for rerankers');
  const answers =
    scores === undefined
      ? await defaultAnswers(encoderFiles)
      : readAnswers(await requireConfigFile(files, filePath(scores.path, 'config.json')));
  return {
    encoder,
    labels: undefined,
    chat: await chatOf(encoderFiles, true),
    readHead: () => readAnswerHead(encoderFiles, config, answers),
  };
}

/** Options for the library that renders a chat template, not for the template. sentvec supports none of them. */
const rendererOptions = [
  'chat_template',
  'continue_final_message',
  'max_length',
  'padding',
  'restore_suffix',
  'return_tensors',
  'truncation',
];

/**
 * The variables of the chat template, if the pairs of a model are chat messages; otherwise `undefined`. Whether they
 * are is stated in the module's `modality_config`; if it has none, the caller's default applies.
 * (`sentence_transformers/base/modules/transformer.py`)
 */
async function chatOf(encoderFiles: ModelFiles, isChatByDefault: boolean): Promise<RerankerFolder['chat']> {
  const module = await readTransformerConfig(encoderFiles);
  const modalities = module?.object('modality_config');
  const isChat = modalities === undefined ? isChatByDefault : modalities.object('message') !== undefined;
  if (!isChat || module === undefined) return isChat ? {} : undefined;
  const variables = module.object('processing_kwargs')?.object('chat_template')?.values ?? {};
  const other = rendererOptions.find((name) => Object.hasOwn(variables, name));
  if (other !== undefined)
    throw unsupported(module, `sets "${other}" in "processing_kwargs.chat_template", which sentvec does not support`);
  return variables;
}

interface Answers {
  readonly yes: number;
  readonly no: number | undefined;
}

/** `sentence_transformers/cross_encoder/modules/logit_score.py` */
function readAnswers(config: ConfigFile): Answers {
  const input = config.string('module_input_name') ?? 'causal_logits';
  if (input !== 'causal_logits')
    throw unsupported(config, `sets "module_input_name" to "${input}"; sentvec supports only "causal_logits"`);
  return { yes: config.required('true_token_id', config.number('true_token_id')), no: config.number('false_token_id') };
}

/** The tokens that sentence-transformers uses when no module names them. */
async function defaultAnswers(files: ModelFiles): Promise<Answers> {
  const { readTokenizerFiles } = await import('../tokenizer/transformers-files.ts');
  const { tokenId } = await import('../tokenizer/vocabulary.ts');
  const { json, file } = await readTokenizerFiles(files);
  const [yes, no] = [tokenId(json, 'yes'), tokenId(json, 'no')];
  if (yes !== undefined && no !== undefined) return { yes, no };
  throw new SentvecError(
    'unsupported-model',
    `${files.name} is a language model without a LogitScore module, and ${file} has no tokens "yes" and "no", so it cannot be used as a reranker. Check that the model is a reranker.`,
    { file: files.name },
  );
}

/**
 * The head of a language model: the logit of an answer token is its row of the output matrix (`lm_head`) times the last
 * token's vector. With two answer tokens, the score is the difference of their logits.
 */
async function readAnswerHead(files: ModelFiles, config: ConfigFile, { yes, no }: Answers): Promise<Head> {
  const weights = await readWeights(files);
  const tied = config.boolean('tie_word_embeddings') ?? false;
  const names = tied ? ['embed_tokens.weight'] : ['lm_head.weight', 'embed_tokens.weight'];
  const found = names.flatMap((name) =>
    weights.names().filter((each) => each === name || each.endsWith(`.${name}`)),
  )[0];
  if (found === undefined)
    throw new SentvecError(
      'invalid-model',
      `The weights of ${files.name} have no tensor "${names[0]}", which a language model needs to compute scores.`,
      { file: files.name },
    );
  const [rows = 0, cols = 0] = weights.shape(found);
  const unknown = [yes, no].find((id) => id !== undefined && !(Number.isInteger(id) && id >= 0 && id < rows));
  if (unknown !== undefined)
    throw new SentvecError(
      'invalid-model',
      `The reranker ${files.name} computes its score from the token id ${unknown}, but its vocabulary has only ${rows} tokens.`,
      { file: files.name },
    );
  const data = weights.rows(found, [yes]).slice();
  if (no !== undefined) for (const [index, value] of weights.rows(found, [no]).entries()) data[index]! -= value;
  const weight = { data, rows: 1, cols };
  return { pooling: createPooling('lasttoken'), projections: [{ kind: 'dense', weight, activation: 'Identity' }] };
}

/** The labels in `id2label`, in the order of their ids. */
function readLabels(config: ConfigFile): readonly string[] | undefined {
  const labels = config.object('id2label');
  if (labels === undefined) return undefined;
  const ids = Object.keys(labels.values)
    .map(Number)
    .sort((a, b) => a - b);
  if (ids.every((id, index) => id === index)) return ids.map((id) => labels.string(String(id)) ?? `LABEL_${id}`);
  throw new SentvecError(
    'invalid-model',
    `"id2label" in ${config.file} must have the ids 0 to ${ids.length - 1}, one for each of its ${ids.length} labels.`,
    { file: config.file },
  );
}

/**
 * The names of a head's outputs.
 * @throws SentvecError `invalid-model` when the configuration has a different number of labels
 */
function labelsOf(
  files: ModelFiles,
  labels: readonly string[] | undefined,
  head: Head,
  hiddenSize: number,
): readonly string[] {
  const count = outputSize(head, hiddenSize);
  if (labels === undefined) return Array.from({ length: count }, (_, id) => `LABEL_${id}`);
  if (labels.length === count) return labels;
  throw new SentvecError(
    'invalid-model',
    `config.json of ${files.name} names ${labels.length} labels, but its head gives ${count} numbers.`,
    { file: 'config.json' },
  );
}

/**
 * Reads the activation from where the versions of sentence-transformers store it. Versions 5 and 6:
 * `config_sentence_transformers.json`, which is used only if there is a `modules.json`. Version 4:
 * `sentence_transformers.activation_fn` in `config.json`. Earlier: `sbert_ce_default_activation_function` in
 * `config.json`. A class outside of PyTorch is ignored, as in sentence-transformers, since it would be custom code.
 * @param files the folder, if it has a `modules.json`
 */
async function readActivation(
  files: ModelFiles | undefined,
  encoderFiles: ModelFiles,
): Promise<{ readonly activation: Activation | undefined; readonly notes: readonly string[] }> {
  const settings = files && (await readConfigFile(files, 'config_sentence_transformers.json'));
  const config = await readConfigFile(encoderFiles, 'config.json');
  const notes: string[] = [];
  const older = config?.object('sentence_transformers');
  const candidates = [
    [settings, settings?.string('activation_fn')],
    [
      config,
      older !== undefined && Object.hasOwn(older.values, 'activation_fn')
        ? older.string('activation_fn')
        : config?.string('sbert_ce_default_activation_function'),
    ],
  ] as const;
  for (const [source, classPath] of candidates) {
    if (source === undefined || classPath === undefined) continue;
    if (!classPath.startsWith('torch.')) {
      notes.push(
        `${source.file} names the activation "${classPath}", which is custom code; the default activation is used instead, as in sentence-transformers.`,
      );
      continue;
    }
    const name = lastSegment(classPath);
    if (isActivation(name)) return { activation: name, notes };
    throw unsupported(source, `names the activation "${classPath}", which sentvec does not support`);
  }
  return { activation: undefined, notes };
}

function unsupported({ file }: ConfigFile, what: string): SentvecError {
  return new SentvecError('unsupported-model', `${file} ${what}.`, { file });
}
