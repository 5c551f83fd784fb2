/** Checks the options of an embed call and fills in the model's defaults. */
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { outputSize, derivedHead } from '../projection/head.ts';
import type { EmbedderParts, EmbedOptions, EmbedStreamOptions } from './embedder-types.ts';
import { checkRole, promptNameFor } from './text-role.ts';
import type { Head } from '../types.ts';

/** See {@link resolveSettings}. */
export interface EmbedSettings {
  /** Text that is put before each text. An empty prompt counts as none. */
  readonly prompt: string | undefined;
  readonly head: Head;
  readonly dimension: number;
  readonly batchTokens: number;
  readonly shareBatches: boolean;
}

/** Names of the options of `embed`. */
export const embedOptionNames: OptionNames<EmbedOptions> = {
  as: true,
  prompt: true,
  promptText: true,
  route: true,
  task: true,
  truncateDim: true,
  normalize: true,
  batchTokens: true,
  shareBatches: true,
  signal: true,
  onProgress: true,
};

/** Names of the options of `embedStream`. */
export const streamOptionNames: OptionNames<EmbedStreamOptions> = { ...embedOptionNames, maxWait: true };

/**
 * Checks the options of a call and fills in the model's defaults.
 * @param call name of the called function, for messages
 * @param names the options that the function accepts
 * @throws SentvecError `invalid-argument`
 */
export function resolveSettings(
  parts: EmbedderParts,
  options: EmbedOptions,
  call: string,
  names: OptionNames<EmbedOptions> = embedOptionNames,
): EmbedSettings {
  checkOptionNames(call, options, names);
  if (options.as !== undefined) checkRole(options.as);
  for (const name of ['route', 'task'] as const)
    if (options[name] !== parts[name]) refuseChoice(parts, name, options[name]);
  const { dimension, head } = chooseHead(parts, options);
  const batchTokens = options.batchTokens ?? parts.encoder.batchTokens;
  if (!(batchTokens >= 1))
    throw new SentvecError('invalid-argument', `batchTokens is ${batchTokens}; it must be at least 1.`);
  return {
    prompt: resolvePrompt(parts, options),
    head,
    dimension,
    batchTokens,
    shareBatches: options.shareBatches ?? true,
  };
}

/** The parts of `createEmbedder` have one route and one task; calls cannot choose others. */
function refuseChoice({ model, ...parts }: EmbedderParts, name: 'route' | 'task', wanted: string | undefined): void {
  if (wanted === undefined) return;
  const has = parts[name] === undefined ? `has no ${name}s` : `has the ${name} "${parts[name]}" only`;
  throw new SentvecError('invalid-argument', `${model.name} ${has}: leave out "${name}", which is "${wanted}".`, {
    [name]: wanted,
  });
}

/**
 * Caches the heads that are derived from a model's head, so that a backend that prepares something for a head (such as
 * buffers on the device) gets the same object each time.
 */
const derivedHeads = new WeakMap<Head, Map<string, Head>>();

function chooseHead(
  parts: EmbedderParts,
  { truncateDim = parts.truncateDim, normalize = false }: EmbedOptions,
): { readonly dimension: number; readonly head: Head } {
  const full = outputSize(parts.head, parts.encoder.hiddenSize);
  const dimension = truncateDim ?? full;
  if (!Number.isInteger(dimension) || dimension < 1 || dimension > full) {
    throw new SentvecError(
      'invalid-argument',
      `truncateDim is ${dimension}; it must be a whole number from 1 to ${full}, the dimension of ${parts.model.name}.`,
    );
  }
  const size = dimension === full ? undefined : dimension;
  const heads = derivedHeads.get(parts.head) ?? new Map<string, Head>();
  derivedHeads.set(parts.head, heads);
  const key = `${size} ${normalize}`;
  const head = heads.get(key) ?? derivedHead(parts.head, size, normalize);
  heads.set(key, head);
  return { dimension, head };
}

/** The parts of a model that determine the prompt of a call. */
type PromptParts = Pick<EmbedderParts, 'model' | 'prompts' | 'defaultPrompt' | 'task'>;

/** The prompt of a call. @throws SentvecError `invalid-argument` for a name that the model does not have */
export function resolvePrompt(
  parts: PromptParts,
  options: Pick<EmbedOptions, 'as' | 'prompt' | 'promptText'>,
): string | undefined {
  if (options.promptText !== undefined) {
    if (options.prompt === undefined || options.prompt === null) return options.promptText;
    throw new SentvecError(
      'invalid-argument',
      "Both prompt and promptText were given. Set prompt to the name of one of the model's prompts, or promptText to a text of your own, but not both.",
    );
  }
  const { prompts = {}, defaultPrompt } = parts;
  const defaultName =
    options.as === undefined ? defaultPrompt : promptNameFor(options.as, prompts, defaultPrompt, parts.task);
  const name = options.prompt === undefined ? defaultName : options.prompt;
  if (name === undefined || name === null) return undefined;
  if (Object.hasOwn(prompts, name)) return prompts[name];
  const names = Object.keys(prompts).map((known) => JSON.stringify(known));
  const choice = names.length === 0 ? 'it has none; use promptText for one of your own' : `it has ${names.join(', ')}`;
  throw new SentvecError(
    'invalid-argument',
    `The model ${parts.model.name} has no prompt ${JSON.stringify(name)}: ${choice}.`,
    {
      prompt: name,
    },
  );
}
