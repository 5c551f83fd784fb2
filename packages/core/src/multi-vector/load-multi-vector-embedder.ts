// From the folder of a model of late interaction to its embedder.
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { loadModelParts } from '../embedder/assemble-parts.ts';
import { loadOptionNames, type LoadEmbedderOptions } from '../embedder/load-embedder.ts';
import { SentvecError } from '../errors.ts';
import { tokenId } from '../tokenizer/vocabulary.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import type { Encoder } from '../backend.ts';
import type { ModelFiles } from '../types.ts';
import { createMultiVectorEmbedder } from './multi-vector-embedder.ts';
import type { TextRole } from '../embedder/embedder-types.ts';
import type {
  LateReading,
  MultiVectorEmbedder,
  MultiVectorFolder,
  MultiVectorParts,
  QueryExpansion,
} from './multi-vector-types.ts';
import { readMultiVectorFolder } from './read-multi-vector-folder.ts';

/** Options of {@link loadMultiVectorEmbedder}. */
export type LoadMultiVectorEmbedderOptions = Pick<
  LoadEmbedderOptions,
  'backend' | 'tokenizer' | 'selfCheck' | 'signal' | 'onReceipt' | 'onWarning'
> & {
  /** The most tokens of a query that are read, instead of what the model says. Its expansion is as long. */
  readonly queryLength?: number | undefined;
  /** The most tokens of a document that are read, instead of what the model says. */
  readonly documentLength?: number | undefined;
};

/** Names of the options of {@link loadMultiVectorEmbedder}, for callers that have to tell them from their own. */
export const loadMultiVectorOptionNames: OptionNames<LoadMultiVectorEmbedderOptions> = {
  backend: loadOptionNames.backend,
  tokenizer: true,
  selfCheck: true,
  signal: true,
  onReceipt: true,
  onWarning: true,
  queryLength: true,
  documentLength: true,
};

/**
 * Loads a model of late interaction (ColBERT): of sentence-transformers 6 (`MultiVectorEncoder`), of PyLate, or of
 * Stanford. It gives a vector for each token; {@link maxSimilarity} compares them.
 * @throws SentvecError as {@link loadEmbedder}; `unsupported-model` for models of other kinds, by name
 */
export async function loadMultiVectorEmbedder(
  model: ModelFiles,
  options: LoadMultiVectorEmbedderOptions = {},
): Promise<MultiVectorEmbedder> {
  checkOptionNames('loadMultiVectorEmbedder()', options, loadMultiVectorOptionNames);
  const { queryLength, documentLength, ...others } = options;
  for (const [name, length] of Object.entries({ queryLength, documentLength }))
    if (length !== undefined) checkCount(length, name);
  const { folder, definition, parts } = await loadModelParts(model, others, (files) => readMultiVectorFolder(files));
  try {
    const { maxPositions } = parts.encoder;
    return createMultiVectorEmbedder({
      ...parts,
      ...lateReading(folder, definition, { maxPositions, queryLength, documentLength }),
      tokenPooling: folder.tokenPooling,
      similarity: folder.similarity,
    });
  } catch (error) {
    await Promise.all([parts.tokenizer.dispose(), parts.encoder.dispose()]);
    throw error;
  }
}

/**
 * How a model of late interaction reads queries and documents, as its folder says.
 * @param options.queryLength, documentLength as of {@link LoadMultiVectorEmbedderOptions}
 * @throws SentvecError `invalid-model`, `invalid-argument` for lengths beyond the positions, or without room for a text
 */
export function lateReading(
  folder: MultiVectorFolder,
  definition: TokenizerDefinition,
  options: Pick<LoadMultiVectorEmbedderOptions, 'queryLength' | 'documentLength'> & Pick<Encoder, 'maxPositions'>,
): LateReading & { readonly lengths: Readonly<Record<TextRole, number>> } {
  const { queryLength, documentLength, maxPositions } = options;
  const expansion = folder.expansion && {
    ...folder.expansion,
    length: queryLength ?? folder.expansion.length,
    id: expansionId(folder, definition),
  };
  const wanted = { query: queryLength, document: documentLength };
  return {
    lengths: lengthsOf(folder, definition, maxPositions, expansion, wanted),
    expansion,
    skippedIds: { query: skipped(folder, definition, 'query'), document: skipped(folder, definition, 'document') },
    onlyIds: folder.mask.onlyIds && new Set(folder.mask.onlyIds),
  };
}

/** The ids of words that the vocabulary has as one token. Other words are not tokens, so they are in no text. */
function skipped({ mask }: MultiVectorFolder, { json }: TokenizerDefinition, role: TextRole): ReadonlySet<number> {
  if (!mask.roles.includes(role)) return new Set();
  return new Set(mask.words.flatMap((word) => tokenId(json, word) ?? []));
}

function expansionId({ encoderFiles, expansion }: MultiVectorFolder, definition: TokenizerDefinition): number {
  const token = expansion?.token;
  const id = token === undefined ? definition.expansionId : tokenId(definition.json, token);
  if (id !== undefined) return id;
  const message = `${encoderFiles.name} lengthens queries with ${token === undefined ? 'the mask token' : `"${token}"`}, which its tokenizer does not have.`;
  throw new SentvecError('invalid-model', message, { file: 'tokenizer.json' });
}

function lengthsOf(
  { lengths, encoderFiles }: MultiVectorFolder,
  { specialTokens: { prefix, suffix } }: TokenizerDefinition,
  maxPositions: number,
  expansion: MultiVectorParts['expansion'],
  wanted: Readonly<Record<TextRole, number | undefined>>,
): Readonly<Record<TextRole, number>> {
  const chosen = { query: Infinity, document: Infinity };
  for (const role of ['query', 'document'] as const) {
    const said = wanted[role] ?? Math.min(lengths[role] ?? Infinity, maxPositions);
    chosen[role] = role === 'document' || expansion === undefined ? said : lengthened(said, expansion);
    const code = wanted[role] === undefined ? 'invalid-model' : 'invalid-argument';
    const around = prefix.length + suffix.length;
    if (chosen[role] <= around)
      throw new SentvecError(
        code,
        `A ${role} would have ${chosen[role]} tokens, and the special tokens of ${encoderFiles.name} take ${around}: there is no room for a text.`,
      );
    if (chosen[role] <= maxPositions) continue;
    throw new SentvecError(
      code,
      `A ${role} would have ${chosen[role]} tokens, but the encoder of ${encoderFiles.name} has positions for ${maxPositions}.`,
    );
  }
  return chosen;
}

function lengthened(length: number, expansion: QueryExpansion): number {
  return expansion.strategy === 'fixed' ? expansion.length : Math.max(length, expansion.length);
}
