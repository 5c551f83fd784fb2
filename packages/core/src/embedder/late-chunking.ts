// Late chunking: the encoder reads a whole text, and the vectors of its tokens are pooled piece by piece.
import { abortable } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { applyHead } from '../projection/head.ts';
import { rowOf } from '../search/matrix-rows.ts';
import type { Head, Matrix, TokenBatch, Tokenizer } from '../types.ts';
import { padBatch, planBatches } from './batching.ts';
import { textsDone, type PiecesCall } from './embed-pieces.ts';
import type { Embedded, EmbedOptions, PieceOfText } from './embedder-types.ts';
import { encodeTokens, isFinite } from './encode-batch.ts';

/** The tokens of a piece in a window: from `first` up to, but not including, `end`. */
interface TokenSpan {
  /** Index of the piece. */
  readonly piece: number;
  readonly first: number;
  readonly end: number;
}

/** Tokens that the encoder reads at once, and the pieces that are pooled from them. */
interface LateWindow {
  readonly ids: Int32Array;
  readonly spans: readonly TokenSpan[];
}

/** Fraction of a window that is context before its first piece, if the text is longer than the model reads. */
const contextShare = 1 / 4;

const windowsNote =
  'Texts that are longer than the model reads were embedded in windows: the vector of a piece depends only on the text within its window.';

/**
 * The vectors of pieces by late chunking (Günther et al. 2024, arXiv 2409.04701, algorithm 1). The encoder reads
 * special tokens and the prompt, but they are not pooled. If a text is longer than the model reads, it is encoded in
 * overlapping windows, as in algorithm 2.
 * @param pieces the pieces of all texts, in order
 */
export async function embedLate(
  { parts, settings, scope, fingerprint }: PiecesCall,
  texts: readonly string[],
  pieces: readonly PieceOfText[],
  onProgress: EmbedOptions['onProgress'],
): Promise<Embedded> {
  const started = performance.now();
  const { head, dimension, batchTokens } = settings;
  checkPooling(parts.model.name, head);
  const windows = await findWindows(parts, settings.prompt ?? '', texts, pieces, scope.signal);
  const vectors = { data: new Float32Array(pieces.length * dimension), rows: pieces.length, cols: dimension };
  const done = { pieces: 0, tokens: 0 };
  const embedWindows = async (batch: readonly LateWindow[]): Promise<void> => {
    const padded = padBatch(batch.map(tokenizedOf), parts.tokenizer.paddingId);
    const tokens = await encodeTokens(parts.encoder, padded, scope.signal);
    for (const [row, { ids, spans }] of batch.entries()) {
      const tokensOfRow = tokens.data.subarray(row * padded.cols * tokens.cols, (row + 1) * padded.cols * tokens.cols);
      const pooled = await poolSpans(head, { data: tokensOfRow, rows: padded.cols, cols: tokens.cols }, ids, spans);
      deliver(pooled, spans, pieces, vectors);
      done.pieces += spans.length;
      done.tokens += ids.length;
    }
    const progress = { rows: textsDone(done.pieces, pieces.length, texts.length), tokens: done.tokens };
    if (!scope.signal.aborted) onProgress?.(progress);
  };
  const lengths = windows.map(({ ids }) => ids.length);
  const batches = planBatches(lengths, batchTokens);
  let next = 0;
  const embedNext = async (): Promise<void> => {
    while (next < batches.length) {
      throwIfAborted(scope.signal);
      const indices = batches[next]!;
      next += 1;
      await embedWindows(indices.map((index) => windows[index]!));
    }
  };
  // Keeps one more batch in line for each that is computed.
  const runners = Array.from({ length: 2 * parts.encoder.concurrency }, async () => embedNext());
  const finished = Promise.all(runners).catch((error: unknown) => {
    scope.abort(error);
    throw error;
  });
  await abortable(finished, scope.signal);
  const positions = batches.reduce((sum, indices) => sum + indices.length * lengths[indices[0]!]!, 0);
  const notes = [...(parts.notes ?? []), ...(windows.length > texts.length ? [windowsNote] : [])];
  const receipt = {
    rows: texts.length,
    tokens: done.tokens,
    truncated: [],
    paddingWaste: positions === 0 ? 0 : 1 - done.tokens / positions,
    milliseconds: performance.now() - started,
    fingerprint: (await fingerprint).hash,
    prompt: settings.prompt || undefined,
    route: parts.route,
    task: parts.task,
    notes,
  };
  parts.onReceipt?.(receipt);
  return { vectors, receipt };
}

function checkPooling(model: string, { pooling }: Head): void {
  const singleTokenMode = pooling.modes?.find((mode) => mode === 'cls' || mode === 'lasttoken');
  if (singleTokenMode === undefined && pooling.graphOutput === undefined) return;
  const how = singleTokenMode === undefined ? 'in its own graph' : `by one token (${singleTokenMode})`;
  const message = `lateChunking pools the tokens of each piece, but ${model} pools ${how}. Leave out lateChunking, or use a model with mean pooling.`;
  throw new SentvecError('invalid-argument', message);
}

function tokenizedOf({ ids }: LateWindow): { ids: Int32Array; length: number; truncated: false } {
  return { ids, length: ids.length, truncated: false };
}

/** Pools and projects the tokens of each span. @param tokens the token embeddings of one window */
async function poolSpans(head: Head, tokens: Matrix, ids: Int32Array, spans: readonly TokenSpan[]): Promise<Matrix> {
  const { cols } = tokens;
  const longest = Math.max(...spans.map(({ first, end }) => end - first));
  const batch: TokenBatch = {
    ids: new Int32Array(spans.length * longest),
    mask: new Int32Array(spans.length * longest),
    rows: spans.length,
    cols: longest,
  };
  const data = new Float32Array(spans.length * longest * cols);
  for (const [row, { first, end }] of spans.entries()) {
    batch.ids.set(ids.subarray(first, end), row * longest);
    batch.mask.fill(1, row * longest, row * longest + end - first);
    data.set(tokens.data.subarray(first * cols, end * cols), row * longest * cols);
  }
  return applyHead(head, { data, rows: spans.length * longest, cols }, batch);
}

function deliver(pooled: Matrix, spans: readonly TokenSpan[], pieces: readonly PieceOfText[], vectors: Matrix): void {
  for (const [index, { piece }] of spans.entries()) {
    const vector = rowOf(pooled, index);
    if (isFinite(vector)) {
      vectors.data.set(vector, piece * vectors.cols);
      continue;
    }
    const { row } = pieces[piece]!;
    const message = `A vector of row ${row} has entries that are not finite numbers: the model does not work on this text.`;
    throw new SentvecError('backend-failed', message, { row });
  }
}

/** A stretch of a text without a piece boundary inside. */
interface Segment {
  readonly start: number;
  readonly end: number;
  /** Tokens of the white space before the words, followed by those of the words. */
  readonly ids: Int32Array;
  /** How many of `ids` belong to the white space. */
  readonly spaceIds: number;
}

type Parts = PiecesCall['parts'];

/** The windows of all texts. */
async function findWindows(
  { tokenizer, maxLength, addSpecialTokens = true }: Parts,
  prompt: string,
  texts: readonly string[],
  pieces: readonly PieceOfText[],
  signal: AbortSignal,
): Promise<LateWindow[]> {
  const space = await belongsToWord(tokenizer, signal);
  // White space at the end of a prompt is tokenized with the first word, as if prompt and text were tokenized together.
  const words = prompt.trimEnd();
  const promptIds = words === '' ? [] : [...(await tokenize(tokenizer, [words], signal))[0]!];
  const { prefix, suffix } = addSpecialTokens ? tokenizer.specialTokens : { prefix: [], suffix: [] };
  const before = [...prefix, ...promptIds];
  const room = maxLength - before.length - suffix.length;
  const windows: LateWindow[] = [];
  let next = 0;
  for (const [row, text] of texts.entries()) {
    const first = next;
    while (pieces[next]?.row === row) next += 1;
    const ofText = pieces.slice(first, next);
    const segments = await segmentsOf(tokenizer, text, ofText, prompt.slice(words.length), space, signal);
    for (const { begin, end, spans } of planWindows(segments, ofText, room)) {
      const ids = segments.slice(begin, end).flatMap((segment) => [...segment.ids]);
      windows.push({
        ids: Int32Array.from([...before, ...ids.slice(0, room), ...suffix]),
        spans: spans.map((span) => ({
          piece: first + span.piece,
          first: before.length + Math.min(span.first, room - 1),
          end: before.length + Math.min(span.end, room),
        })),
      });
    }
  }
  return windows;
}

async function tokenize(tokenizer: Tokenizer, texts: readonly string[], signal: AbortSignal): Promise<Int32Array[]> {
  const options = { maxLength: Number.MAX_SAFE_INTEGER, addSpecialTokens: false, signal };
  return (await tokenizer.encode(texts, options)).map(({ ids }) => ids);
}

/** Whether the tokenizer makes a space part of the word after it. */
async function belongsToWord(tokenizer: Tokenizer, signal: AbortSignal): Promise<boolean> {
  const [together, first, spaced] = await tokenize(tokenizer, ['a a', 'a', ' a'], signal);
  return together!.join() === [...first!, ...spaced!].join() || together!.join() !== [...first!, ...first!].join();
}

/** Cuts a text where pieces begin and end, and tokenizes the segments. White space belongs to the segment after it. */
async function segmentsOf(
  tokenizer: Tokenizer,
  text: string,
  pieces: readonly PieceOfText[],
  before: string,
  space: boolean,
  signal: AbortSignal,
): Promise<Segment[]> {
  const cuts = [...new Set(pieces.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const spans: { start: number; end: number; joined: string; words: string }[] = [];
  let from = cuts[0]!;
  for (const end of cuts.slice(1)) {
    const words = text.slice(from, end).trimStart();
    if (words === '') continue;
    const gap = (spans.length === 0 ? before : '') + text.slice(from, end - words.length);
    const joined = (space ? gap : gap.replace(/ $/, '')) + words;
    spans.push({ start: end - words.length, end, joined, words: (space && gap.endsWith(' ') ? ' ' : '') + words });
    from = end;
  }
  const apart = spans.filter(({ joined, words }) => joined !== words);
  const strings = [...spans.map(({ joined }) => joined), ...apart.map(({ words }) => words)];
  const ids = await tokenize(tokenizer, strings, signal);
  const idsOfWords = new Map(apart.map((span, index) => [span, ids[spans.length + index]!]));
  return spans.map((span, index) => {
    const ofWords = idsOfWords.get(span) ?? ids[index]!;
    const spaceIds = ids[index]!.length - ofWords.length;
    const isTail = spaceIds > 0 && ids[index]!.subarray(spaceIds).join() === ofWords.join();
    return { start: span.start, end: span.end, ids: ids[index]!, spaceIds: isTail ? spaceIds : 0 };
  });
}

/**
 * A window over the segments from `begin` up to, but not including, `end`, and the pieces that are pooled from it. The
 * spans count tokens from the beginning of the window.
 */
interface SegmentWindow {
  readonly begin: number;
  readonly end: number;
  readonly spans: readonly TokenSpan[];
}

/** @param room number of tokens of a text that fit into one window, without special tokens and prompt */
function planWindows(segments: readonly Segment[], pieces: readonly PieceOfText[], room: number): SegmentWindow[] {
  const starts = new Map(segments.map(({ start }, index) => [start, index]));
  const ends = new Map(segments.map(({ end }, index) => [end, index + 1]));
  const tokensBefore = [0];
  for (const { ids } of segments) tokensBefore.push(tokensBefore.at(-1)! + ids.length);
  const tokens = (begin: number, end: number): number => tokensBefore[end]! - tokensBefore[begin]!;
  const windows: SegmentWindow[] = [];
  for (let next = 0; next < pieces.length;) {
    let begin = starts.get(pieces[next]!.start)!;
    let end = ends.get(pieces[next]!.end)!;
    const context = Math.min(room * contextShare, room - tokens(begin, end));
    const first = begin;
    while (begin > 0 && tokens(begin - 1, first) <= context) begin -= 1;
    while (end < segments.length && tokens(begin, end + 1) <= room) end += 1;
    const spans: TokenSpan[] = [];
    for (; next < pieces.length && ends.get(pieces[next]!.end)! <= end; next += 1) {
      const from = starts.get(pieces[next]!.start)!;
      const firstToken = tokens(begin, from) + segments[from]!.spaceIds;
      spans.push({ piece: next, first: firstToken, end: tokens(begin, ends.get(pieces[next]!.end)!) });
    }
    windows.push({ begin, end, spans });
  }
  return windows;
}
