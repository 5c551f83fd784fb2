/** Joins two texts to one input: adds special tokens and token type ids, and truncates pairs that are too long. */
import { isObject } from '../model-folder/json.ts';
import type { TokenizedText } from '../types.ts';
import { namedId, type SpecialTokens } from './special-tokens.ts';
import type { TokenizerComponent, TokenizerJson } from './tokenizer-json.ts';
import { isTokenId } from './vocabulary.ts';

/** A part of the input: special tokens, or the first or the second text. */
type PairPiece = { readonly typeId: number } & (
  | { readonly ids: readonly number[]; readonly text?: undefined }
  | { readonly text: 0 | 1; readonly ids?: undefined }
);

/** The parts of the input, in order; contains each text once. */
export type PairTemplate = readonly PairPiece[];

/**
 * Reads the template for pairs from the post-processor, like the library `tokenizers`.
 * @param usesTypeIds whether the tokenizer's class passes token type ids to the model; if not, all are 0
 * @returns `undefined` when the post-processor has no template for pairs, or one that sentvec cannot follow
 */
export function pairTemplateOf(json: TokenizerJson, usesTypeIds: boolean): PairTemplate | undefined {
  const template = templateOf(json.post_processor);
  return usesTypeIds ? template : template?.map((piece) => ({ ...piece, typeId: 0 }));
}

/** The special tokens of a template. The two texts together have at most `maxLength` minus `count` tokens. */
export function specialTokensOfPair(template: PairTemplate): SpecialTokens & { readonly count: number } {
  const first = template.findIndex(({ text }) => text !== undefined);
  const last = template.findLastIndex(({ text }) => text !== undefined);
  const idsOf = (pieces: PairTemplate): number[] => pieces.flatMap(({ ids = [] }) => ids);
  return {
    prefix: idsOf(template.slice(0, first)),
    suffix: idsOf(template.slice(last + 1)),
    count: idsOf(template).length,
  };
}

/**
 * Joins two texts. If they are too long, tokens of the longer text are removed first (`longest_first` of transformers).
 * @param first tokens of the first text, without special tokens and not truncated, but with `maxLength` as `wordLimit`;
 * likewise `second`
 */
export function joinPair(
  template: PairTemplate,
  { ids: first, lengthAtLimit: firstRead = first.length }: TokenizedText,
  { ids: second, lengthAtLimit: secondRead = second.length }: TokenizedText,
  { maxLength, truncationSide }: { readonly maxLength: number; readonly truncationSide: 'left' | 'right' },
): TokenizedText {
  const { count } = specialTokensOfPair(template);
  const kept = truncatedLengths(firstRead, secondRead, maxLength - count);
  const [a, b] = [cut(first, kept[0], truncationSide), cut(second, kept[1], truncationSide)];
  const ids = new Int32Array(count + a.length + b.length);
  const typeIds = new Int32Array(ids.length);
  let offset = 0;
  for (const piece of template) {
    const part = piece.ids ?? (piece.text === 0 ? a : b);
    ids.set(part, offset);
    typeIds.fill(piece.typeId, offset, offset + part.length);
    offset += part.length;
  }
  const length = count + first.length + second.length;
  const usesTypeIds = template.some(({ typeId }) => typeId !== 0);
  return { ids, ...(usesTypeIds && { typeIds }), length, truncated: ids.length < length };
}

/**
 * How many tokens of each text remain. Follows `truncate_encodings` of the library `tokenizers` 0.23.
 * @param first number of tokens of the first text that the library reads; likewise `second`
 */
function truncatedLengths(first: number, second: number, room: number): readonly [number, number] {
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second, Math.floor(room / 2));
  return first <= second ? [shorter, room - shorter] : [room - shorter, shorter];
}

function cut(ids: Int32Array, count: number, side: 'left' | 'right'): Int32Array {
  return side === 'left' ? ids.subarray(ids.length - count) : ids.subarray(0, count);
}

const texts: PairTemplate = [
  { text: 0, typeId: 0 },
  { text: 1, typeId: 1 },
];

function templateOf(processor: TokenizerComponent | null): PairTemplate | undefined {
  switch (processor?.type) {
    case undefined:
    case 'ByteLevel':
      return texts;
    case 'BertProcessing':
    case 'RobertaProcessing':
      return templateOfNames(processor);
    case 'TemplateProcessing':
      return templateOfPieces(processor);
    case 'Sequence': {
      const steps = processor['processors'] as readonly TokenizerComponent[];
      const framing = steps.filter(({ type }) => type !== 'ByteLevel');
      return framing.length > 1 ? undefined : templateOf(framing[0] ?? null);
    }
    default:
      return undefined;
  }
}

function templateOfNames(processor: TokenizerComponent): PairTemplate {
  const cls = { ids: [namedId(processor, 'cls', 'tokenizer.json')], typeId: 0 };
  const sep = { ids: [namedId(processor, 'sep', 'tokenizer.json')], typeId: 0 };
  if (processor.type === 'RobertaProcessing')
    return [cls, { text: 0, typeId: 0 }, sep, sep, { text: 1, typeId: 0 }, sep];
  return [cls, { text: 0, typeId: 0 }, sep, { text: 1, typeId: 1 }, { ...sep, typeId: 1 }];
}

function templateOfPieces({ pair, special_tokens: definitions }: TokenizerComponent): PairTemplate | undefined {
  if (!Array.isArray(pair) || !isObject(definitions)) return undefined;
  const pieces = pair.map((piece: unknown) => (isObject(piece) ? readPiece(piece, definitions) : undefined));
  const isWhole = pieces.every((piece) => piece !== undefined);
  const order = isWhole ? pieces.flatMap(({ text }) => text ?? []) : [];
  return isWhole && order.length === 2 && order[0] !== order[1] ? pieces : undefined;
}

function readPiece(
  piece: Readonly<Record<string, unknown>>,
  definitions: Readonly<Record<string, unknown>>,
): PairPiece | undefined {
  const body = piece['Sequence'] ?? piece['SpecialToken'];
  if (!isObject(body)) return undefined;
  const { id, type_id: typeId = 0 } = body;
  if (!isTokenId(typeId)) return undefined;
  if (piece['Sequence'] !== undefined)
    return id === 'A' || id === 'B' ? { text: id === 'A' ? 0 : 1, typeId } : undefined;
  const definition = typeof id === 'string' && Object.hasOwn(definitions, id) ? definitions[id] : undefined;
  const ids = isObject(definition) ? definition['ids'] : undefined;
  return Array.isArray(ids) && ids.every(isTokenId) ? { ids, typeId } : undefined;
}
