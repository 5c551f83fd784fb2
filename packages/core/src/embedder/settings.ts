import { SentvecError } from '../errors.ts';
import type { EmbedOptions } from './embedder-types.ts';
import type { Head } from '../types.ts';
import { outputSize, truncateHead } from './head.ts';
import type { EmbedderParts } from './parts.ts';

/** Options of one embedding, checked and with the model's defaults filled in. */
export interface EmbedSettings {
  /** Put before each text. An empty one is no prompt. */
  readonly prompt: string | undefined;
  readonly head: Head;
  readonly dimension: number;
  readonly batchTokens: number;
}

/**
 * @throws SentvecError `invalid-argument`
 */
export function resolveSettings(parts: EmbedderParts, options: EmbedOptions): EmbedSettings {
  const { dimension, head } = truncatedHead(parts, options.truncateDim ?? parts.truncateDim);
  const batchTokens = options.batchTokens ?? parts.encoder.batchTokens;
  if (!(batchTokens >= 1))
    throw new SentvecError('invalid-argument', `batchTokens is ${batchTokens}; it must be at least 1.`);
  return { prompt: resolvePrompt(parts, options), head, dimension, batchTokens };
}

/** Heads by dimension, so that a backend that prepares something for a head sees the same one in each call. */
const truncatedHeads = new WeakMap<Head, Map<number, Head>>();

function truncatedHead(
  parts: EmbedderParts,
  size: number | undefined,
): { readonly dimension: number; readonly head: Head } {
  const full = outputSize(parts.head, parts.encoder.hiddenSize);
  if (size === undefined || size === full) return { dimension: full, head: parts.head };
  if (!Number.isInteger(size) || size < 1 || size > full) {
    throw new SentvecError(
      'invalid-argument',
      `truncateDim is ${size}; it must be a whole number from 1 to ${full}, the dimension of ${parts.model.name}.`,
    );
  }
  const heads = truncatedHeads.get(parts.head) ?? new Map<number, Head>();
  truncatedHeads.set(parts.head, heads);
  const head = heads.get(size) ?? truncateHead(parts.head, size);
  heads.set(size, head);
  return { dimension: size, head };
}

function resolvePrompt(parts: EmbedderParts, options: EmbedOptions): string | undefined {
  if (options.promptText !== undefined) {
    if (options.prompt === undefined || options.prompt === null) return options.promptText;
    throw new SentvecError(
      'invalid-argument',
      'Both prompt and promptText were given. Give the name of a prompt of the model, or a text of your own.',
    );
  }
  const name = options.prompt === undefined ? parts.defaultPrompt : options.prompt;
  if (name === undefined || name === null) return undefined;
  const prompts = parts.prompts ?? {};
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
