import {
  promptNameFor,
  SentvecError,
  type Embedded,
  type EmbeddedPieces,
  type Embedder,
  type EmbedOptions,
  type EmbedPiecesOptions,
  type Fingerprint,
} from '@sentvec/core';

/** Options of a fake embedder, whose vectors depend only on the text. */
export interface FakeOptions {
  readonly dimension?: number;
  readonly model?: string;
  /** The prompt for documents. */
  readonly documentPrompt?: string;
  /** Batches that contain a matching text fail, as with a backend that fails on a text. */
  readonly poison?: (text: string) => boolean;
  /** Called before each batch of texts. */
  readonly onEmbed?: (texts: readonly string[]) => void | Promise<void>;
}

/** Creates an embedder without a model, which is fast and deterministic and can simulate failures. */
export function fakeEmbedder(options: FakeOptions = {}): Embedder {
  const { dimension = 8, model = 'fake', documentPrompt } = options;
  const prompts = { query: 'query: ', ...(documentPrompt !== undefined && { document: documentPrompt }) };
  /** Returns the name of the prompt for a call. */
  const promptOf = ({ as, prompt }: EmbedOptions): string | undefined => {
    if (prompt !== undefined) return prompt ?? undefined;
    return as === undefined ? undefined : promptNameFor(as, prompts, undefined);
  };
  const sizeOf = ({ truncateDim }: EmbedOptions): number => truncateDim ?? dimension;
  const embedder = {
    model: { name: model, list: async () => [], read: async () => new Uint8Array() },
    dimension,
    maxLength: 128,
    encoder: { hiddenSize: dimension, maxPositions: 128, concurrency: 1, batchTokens: 512 },
    prompts,
    defaultPrompt: undefined,
    similarityFunction: 'cosine',
    async embed(texts: readonly string[], embed: EmbedOptions = {}): Promise<Embedded> {
      await options.onEmbed?.(texts);
      if (embed.signal?.aborted) throw new SentvecError('aborted', 'The work was aborted by its caller.');
      if (embed.prompt && embed.prompt !== 'query')
        throw new SentvecError('invalid-argument', `There is no prompt "${embed.prompt}".`);
      if (texts.some((text) => options.poison?.(text)))
        throw new SentvecError('backend-failed', 'The batch with row 0 failed: poison');
      const cols = sizeOf(embed);
      const data = new Float32Array(texts.length * cols);
      const prompt = promptOf(embed);
      for (const [row, text] of texts.entries()) vectorOf(`${prompt ?? ''}${text}`, data, row, cols);
      embed.onProgress?.({ rows: texts.length, tokens: texts.length });
      const receipt = {
        rows: texts.length,
        tokens: texts.length,
        truncated: [],
        paddingWaste: 0,
        milliseconds: 1,
        fingerprint: '',
        prompt: prompt === undefined ? undefined : prompts[prompt as keyof typeof prompts],
        notes: [],
      };
      return { vectors: { data, rows: texts.length, cols }, receipt };
    },
    async embedPieces(
      texts: readonly string[],
      { maxTokens = 128, mean, ...embed }: EmbedPiecesOptions = {},
    ): Promise<EmbeddedPieces> {
      const pieces = texts.flatMap((text, row) => {
        const words = [...text.matchAll(/\S+/g)].map(({ index, 0: word }) => ({
          start: index,
          end: index + word.length,
        }));
        if (words.length === 0)
          throw new SentvecError('invalid-text', `Row ${row} has no words.`, { row, rows: [row] });
        return Array.from({ length: Math.ceil(words.length / maxTokens) }, (_, piece) => {
          const [first, ...others] = words.slice(piece * maxTokens, (piece + 1) * maxTokens);
          const { start } = first!;
          const { end } = others.at(-1) ?? first!;
          return { row, piece, start, end, text: text.slice(start, end), tokens: 1 };
        });
      });
      const each = pieces.map(({ text }) => text);
      const { vectors, receipt } = await embedder.embed(each, embed);
      const { cols } = vectors;
      const whole = { data: new Float32Array(texts.length * cols), rows: texts.length, cols };
      for (const [index, { row }] of pieces.entries()) {
        const count = pieces.filter((piece) => piece.row === row).length;
        for (let col = 0; col < cols; col += 1)
          whole.data[row * cols + col]! += vectors.data[index * cols + col]! / count;
      }
      return { vectors: mean ? whole : vectors, pieces, receipt: { ...receipt, rows: texts.length } };
    },
    async fingerprint(embed: EmbedOptions = {}): Promise<Fingerprint> {
      const parts = {
        weights: model,
        tokenizer: 'fake',
        pooling: 'mean',
        projections: 'none',
        prompt: promptOf(embed) ?? 'none',
        dimension: String(sizeOf(embed)),
      };
      return { hash: Object.values(parts).join('/'), parts };
    },
    embedStream: () => {
      throw new Error('not needed');
    },
    dispose: async () => {},
  };
  return embedder as unknown as Embedder;
}

/** Returns the fake vector of a text, with numbers from -1 to 1. */
export function fakeVector(text: string, dimension = 8): number[] {
  const data = new Float32Array(dimension);
  vectorOf(text, data, 0, dimension);
  return [...data];
}

function vectorOf(text: string, data: Float32Array, row: number, cols: number): void {
  let state = 2_166_136_261;
  for (let index = 0; index < text.length; index += 1) state = Math.imul(state ^ text.charCodeAt(index), 16_777_619);
  for (let col = 0; col < cols; col += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    data[row * cols + col] = state / 2 ** 31 - 1;
  }
}
