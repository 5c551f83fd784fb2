// Embeds texts in pieces: a vector for each piece, or the mean of the vectors of each text.
import { checkOptionNames, type AbortScope, type OptionNames } from '@sentvec/platform';
import { withRows } from '../error-rows.ts';
import { SentvecError } from '../errors.ts';
import { endsNormalized } from '../projection/head.ts';
import { applyProjections } from '../projection/projection.ts';
import { checkChoice } from '../search/vector-checks.ts';
import type { Matrix } from '../types.ts';
import type {
  Embedded,
  EmbeddedPieces,
  EmbedderParts,
  EmbedOptions,
  EmbedPiecesOptions,
  Fingerprint,
  PieceOfText,
  PieceOptions,
  Receipt,
} from './embedder-types.ts';
import { embedOptionNames, type EmbedSettings } from './settings.ts';
import { splitTexts, type SplitBy } from './text-pieces.ts';
import { checkedTexts } from './windows.ts';

/** The state that an embedder passes to a call of `embedPieces`. */
export interface PiecesCall {
  readonly parts: EmbedderParts;
  readonly settings: EmbedSettings;
  readonly scope: AbortScope;
  readonly fingerprint: Promise<Fingerprint>;
  readonly embed: (texts: readonly string[], options: EmbedOptions) => Promise<Embedded>;
}

const pieceOptionNames: OptionNames<PieceOptions> = {
  maxTokens: true,
  overlapTokens: true,
  splitBy: true,
  lateChunking: true,
  mean: true,
};

/**
 * The options of a call without those of pieces, as `embed` takes them. @throws SentvecError `invalid-argument` for one
 * that is unknown
 */
export function withoutPieceOptions(options: EmbedPiecesOptions): EmbedOptions {
  checkOptionNames('embedPieces()', options, { ...embedOptionNames, ...pieceOptionNames });
  const { maxTokens: _, overlapTokens: _1, splitBy: _2, lateChunking: _3, mean: _4, ...rest } = options;
  return rest;
}

const splitters = ['tokens', 'sentences'] as const satisfies readonly SplitBy[];

/** See `Embedder.embedPieces`. */
export async function embedPieces(
  pieceCall: PiecesCall,
  texts: readonly string[],
  options: EmbedPiecesOptions,
): Promise<EmbeddedPieces> {
  const { parts, settings, scope } = pieceCall;
  const { maxTokens, overlapTokens, splitBy = 'sentences', lateChunking = false, mean = false } = options;
  checkChoice(splitBy, splitters, 'splitBy');
  checkMaxTokens(parts, maxTokens, lateChunking);
  const checked = await checkedTexts(texts, 'embedPieces()');
  const promptText = settings.prompt;
  const splitting = { maxTokens, overlapTokens, promptText, signal: scope.signal };
  const found = await splitTexts(checked, parts, splitBy, splitting);
  checkWords(found.map(({ length }) => length));
  const pieces = found.flatMap((ofText, row) => ofText.map((piece, index) => ({ ...piece, row, piece: index })));
  const embedded = lateChunking
    ? await (await import('./late-chunking.ts')).embedLate(pieceCall, checked, pieces, options.onProgress)
    : await embedEach(pieceCall, checked, pieces, options);
  return { ...embedded, pieces, vectors: mean ? meanOfPieces(embedded.vectors, pieces, settings) : embedded.vectors };
}

function checkMaxTokens(
  { model, maxLength }: EmbedderParts,
  maxTokens: number | undefined,
  lateChunking: boolean,
): void {
  if (lateChunking && maxTokens === undefined) {
    const message =
      'lateChunking needs maxTokens, the most tokens of a piece: the encoder reads the whole text at once, so the maximum length of the model does not limit a piece.';
    throw new SentvecError('invalid-argument', message);
  }
  if (maxTokens === undefined || maxTokens <= maxLength) return;
  const message = `maxTokens is ${maxTokens}, but ${model.name} reads at most ${maxLength} tokens of a piece.`;
  throw new SentvecError('invalid-argument', message);
}

function checkWords(counts: readonly number[]): void {
  const rows = counts.flatMap((count, row) => (count === 0 ? [row] : []));
  if (rows.length === 0) return;
  const message = `Row ${rows[0]} has no words, so there is nothing to embed. Remove empty texts from the input.`;
  throw new SentvecError('invalid-text', message, { row: rows[0], rows });
}

/** Embeds each piece as a text of its own. */
async function embedEach(
  { parts, settings, scope, embed }: PiecesCall,
  texts: readonly string[],
  pieces: readonly PieceOfText[],
  options: EmbedPiecesOptions,
): Promise<Embedded> {
  const { onProgress } = options;
  const report: EmbedOptions['onProgress'] = ({ rows, tokens }) =>
    onProgress?.({ rows: textsDone(rows, pieces.length, texts.length), tokens });
  try {
    const each = pieces.map(({ text }) => text);
    const given = { ...withoutPieceOptions(options), signal: scope.signal, onProgress: report };
    const { vectors, receipt } = await embed(each, given);
    const cut = [...new Set(receipt.truncated.map(({ row }) => pieces[row]!.row))];
    const truncated = await lengthsOf(parts, settings, texts, cut, scope.signal);
    return { vectors, receipt: { ...receipt, rows: texts.length, truncated } };
  } catch (error) {
    throw withRows(error, (piece) => pieces[piece]!.row);
  }
}

/**
 * The full lengths of the texts with a truncated piece: a single character can have more tokens than the model reads.
 */
async function lengthsOf(
  { tokenizer, maxLength, addSpecialTokens }: EmbedderParts,
  { prompt = '' }: EmbedSettings,
  texts: readonly string[],
  rows: readonly number[],
  signal: AbortSignal,
): Promise<Receipt['truncated']> {
  if (rows.length === 0) return [];
  const whole = rows.map((row) => prompt + texts[row]!);
  const tokenized = await tokenizer.encode(whole, { maxLength, addSpecialTokens, signal });
  return tokenized.map(({ length }, index) => ({ row: rows[index]!, length }));
}

/** Estimates the number of finished texts from the number of finished pieces, which finish in no particular order. */
export function textsDone(piecesDone: number, pieces: number, texts: number): number {
  return Math.floor((piecesDone / pieces) * texts);
}

/**
 * The mean of the vectors of each text's pieces, weighted by their token counts, and normalized if the model's vectors
 * are.
 */
function meanOfPieces({ data, cols }: Matrix, pieces: readonly PieceOfText[], { head }: EmbedSettings): Matrix {
  const rows = (pieces.at(-1)?.row ?? -1) + 1;
  const means = new Float32Array(rows * cols);
  const weights = new Float64Array(rows);
  for (const { row, tokens } of pieces) weights[row]! += tokens;
  for (const [index, { row, tokens }] of pieces.entries()) {
    const share = tokens / weights[row]!;
    for (let col = 0; col < cols; col += 1) means[row * cols + col]! += share * data[index * cols + col]!;
  }
  const mean = { data: means, rows, cols };
  return endsNormalized(head) ? applyProjections([{ kind: 'normalize' }], mean) : mean;
}
