// Searches folders of vectors by meaning (vectors), by words (BM25), or by both.
import {
  createBm25Index,
  fuseRankings,
  isDocumentTask,
  searchQuantized,
  semanticSearch,
  SentvecError,
  type Bm25Index,
  type Embedder,
  type EmbedOptions,
  type Matrix,
  type SearchHit,
} from '@sentvec/core';
import { abortable, checkCount, checkOptionNames, throwIfAborted } from '@sentvec/platform';
import { filesOf, type Manifest } from '../manifest.ts';
import { shardTotals } from '../manifest-parts.ts';
import { openCachedEmbeddings, type EmbeddingBatch, type Embeddings, type ShardCache } from '../open-embeddings.ts';
import type { RowId } from '../rows/row.ts';
import { checkFolderSpace, embedOptions } from '../run/space.ts';
import { pickRows } from '../sinks/sink.ts';
import { openApproximateIndex, type ApproximateIndex } from './approximate-index.ts';

/** A model that ranks documents for a query: a reranker, or a multi-vector embedder. */
export interface Ranker {
  rank(
    query: string,
    documents: readonly string[],
    options: { readonly topK: number; readonly signal?: AbortSignal | undefined },
  ): Promise<readonly SearchHit[]>;
}

/** Options of {@link openIndex}. */
export interface OpenIndexOptions {
  /** The model that made the vectors. A model with another embedding space is an error. */
  readonly embedder: Embedder;
  /** Reranks the best rows. @default no reranking */
  readonly reranker?: Ranker | undefined;
  /**
   * Cache size: how many bytes of shard files are kept in memory after they were read. A search in cached shards is
   * more than ten times as fast; all other shards are read at each search. 0 turns the cache off. Decoded, the shards
   * need up to three times as much memory.
   * @default 268,435,456
   */
  readonly memory?: number | undefined;
  /**
   * Whether a search by meaning looks at the rows that an approximate index proposes, instead of at all: for folders of
   * more than about 100,000 vectors, whose shards fit into `memory`. Each folder needs the index that
   * `buildApproximateIndex` makes. Scores are exact; a row may be missing in the answer.
   * @default false
   */
  readonly approximate?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A search result. */
export interface IndexHit {
  /** The folder of the row. */
  readonly directory: string;
  /** Index of its vector in all folders. */
  readonly row: number;
  readonly id: RowId;
  /** The text, if texts were kept. */
  readonly text: string | undefined;
  /**
   * If rows were embedded in pieces: the best piece, with its index in the row and its position in the row's text, in
   * UTF-16 code units. `text` is then the text of the piece.
   */
  readonly piece?: NonNullable<EmbeddingBatch['pieces']>[number] | undefined;
  /** The kept columns. */
  readonly columns: Readonly<Record<string, unknown>>;
  /** The score that results are sorted by; higher is better. */
  readonly score: number;
  /** The scores of the stages: similarity of vectors, BM25, reranker. */
  readonly scores: { readonly meaning?: number; readonly words?: number; readonly reranker?: number };
}

/** Options of {@link CorpusIndex.search}. */
export interface IndexSearchOptions {
  /** Maximum number of results. Infinity returns all rows. @default 10 */
  readonly topK?: number | undefined;
  /**
   * `meaning`: exact search by similarity of vectors. `words`: BM25. `both`: both rankings, combined by reciprocal rank
   * fusion. `words` and `both` need folders that kept the texts.
   * @default 'meaning'
   */
  readonly by?: 'meaning' | 'words' | 'both' | undefined;
  /** How many rows of each ranking are fused or reranked. @default 10 × `topK`, at least 50 */
  readonly candidates?: number | undefined;
  /** Weights of the two rankings in `both`. @default 1 each */
  readonly weights?: { readonly meaning: number; readonly words: number } | undefined;
  /**
   * If rows were embedded in pieces: whether each piece is a result. Otherwise each row occurs once, with its best
   * piece.
   * @default false
   */
  readonly eachPiece?: boolean | undefined;
  /**
   * Only rows for which it returns true can be results. It gets the kept columns. Accessing a column that no folder
   * kept is an error; a column that only other folders kept is `undefined`. In Parquet, Arrow and npy, values that are
   * not texts are JSON strings, so convert numbers: `Number(stars) >= 4`.
   * @default all
   */
  readonly filter?: ((columns: Readonly<Record<string, unknown>>, id: RowId) => boolean) | undefined;
  /**
   * How the query is embedded, for example with another prompt.
   * @default the model's prompt, route and task for queries; those of the corpus if the model has no prompt for queries, or if the corpus was embedded for a task other than documents
   */
  readonly query?: Pick<EmbedOptions, 'prompt' | 'route' | 'task'> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A searchable index over folders of vectors of one space. */
export interface CorpusIndex {
  /** Number of vectors in all folders. */
  readonly rows: number;
  /**
   * Finds the best rows for a query. The search is exact: every vector is compared, unless the
   * index was opened as `approximate`.
   * @throws SentvecError `invalid-argument`, also for a filter that accesses a column that no folder kept;
   * `invalid-text` for an empty query; `invalid-output` for a damaged shard; `aborted`
   */
  search(query: string, options?: IndexSearchOptions): Promise<IndexHit[]>;
}

/**
 * Opens folders of vectors as one index. It is a snapshot: rows that are added or removed later are not seen. Shards
 * are read at the first search and cached up to `memory` bytes. The BM25 index is built in memory at the first search
 * by words.
 * @throws SentvecError `space-mismatch` for a folder with vectors of another space than the model's; `invalid-output`;
 * `invalid-argument`; `io-failed`; `aborted`
 */
export async function openIndex(
  directories: string | readonly string[],
  options: OpenIndexOptions,
): Promise<CorpusIndex> {
  checkOptionNames('openIndex()', options, {
    embedder: true,
    reranker: true,
    memory: true,
    approximate: true,
    signal: true,
  });
  const { memory = 2 ** 28, approximate = false } = options;
  if (!(memory >= 0))
    throw new SentvecError('invalid-argument', `memory is ${memory}; it must be a number of bytes, at least 0.`);
  const names = typeof directories === 'string' ? [directories] : directories;
  if (names.length === 0) throw new SentvecError('invalid-argument', 'Name at least one folder of vectors.');
  const parts: Part[] = [];
  let firstRow = 0;
  let left = memory;
  for (const directory of names) {
    throwIfAborted(options.signal);
    const cache = keepInMemory((bytes) => {
      const fits = bytes <= left;
      if (fits) left -= bytes;
      return fits;
    });
    const embeddings = await openCachedEmbeddings(directory, cache);
    await checkFolderSpace(directory, embeddings.manifest, options.embedder);
    const graph = approximate ? await openApproximateIndex(directory, embeddings.manifest) : undefined;
    parts.push({ directory, embeddings, firstRow, graph });
    firstRow += shardTotals(embeddings.manifest).vectors;
  }
  return new Index(parts, firstRow, options);
}

/**
 * Makes a cache of shards.
 * @param takes whether so many more bytes of shards fit into memory
 */
function keepInMemory(takes: (bytes: number) => boolean): ShardCache {
  const inMemory = new Map<string, EmbeddingBatch>();
  return {
    get: ({ file }) => inMemory.get(file),
    add: (shard, batch) => {
      const isNew = !inMemory.has(shard.file);
      const bytes = filesOf(shard).reduce((sum, file) => sum + file.bytes, 0);
      if (isNew && takes(bytes)) inMemory.set(shard.file, batch);
    },
  };
}

/** A folder, and the index of its first vector in all folders. */
interface Part {
  readonly directory: string;
  readonly embeddings: Embeddings;
  readonly firstRow: number;
  /** Proposes rows of a search by meaning. */
  readonly graph: ApproximateIndex | undefined;
}

type Row = Omit<IndexHit, 'score' | 'scores'>;

/** Rows that an approximate index proposes, however few are asked for. */
const leastProposed = 100;

class Index implements CorpusIndex {
  readonly rows: number;
  readonly #parts: readonly Part[];
  readonly #embedder: Embedder;
  readonly #reranker: Ranker | undefined;
  /** The prototype of the columns object that a filter gets. It throws for unknown columns. */
  readonly #unknownColumns: object;
  #words: Promise<Bm25Index> | undefined;

  constructor(parts: readonly Part[], rows: number, { embedder, reranker }: OpenIndexOptions) {
    this.rows = rows;
    this.#parts = parts;
    this.#embedder = embedder;
    this.#reranker = reranker;
    this.#unknownColumns = refuseUnknownColumns(parts.flatMap((part) => part.embeddings.manifest.options.columns));
  }

  async search(query: string, options: IndexSearchOptions = {}): Promise<IndexHit[]> {
    const names = { topK: true, by: true, candidates: true, weights: true, filter: true, query: true } as const;
    checkOptionNames('search()', options, { ...names, eachPiece: true, signal: true });
    const { topK = 10, by = 'meaning', weights = { meaning: 1, words: 1 } } = options;
    const { candidates = Math.max(50, 10 * topK), filter, signal } = options;
    for (const [name, value] of Object.entries({ topK, candidates })) if (value !== Infinity) checkCount(value, name);
    if (!['meaning', 'words', 'both'].includes(by))
      throw new SentvecError(
        'invalid-argument',
        `by is ${JSON.stringify(by)}; it must be one of meaning, words, both.`,
      );
    if (filter !== undefined && typeof filter !== 'function')
      throw new SentvecError(
        'invalid-argument',
        `filter must be a function of columns and id, not a ${typeof filter}.`,
      );
    if (typeof query !== 'string')
      throw new SentvecError('invalid-text', `The query must be a string, not a ${typeof query}.`);
    if (query.trim() === '') throw new SentvecError('invalid-text', 'The query is empty.');
    const isFinal = by !== 'both' && this.#reranker === undefined;
    const count = isFinal ? topK : Math.max(candidates, topK);
    const meaning = by === 'words' ? [] : await this.#byMeaning(query, count, options);
    const byWords = by === 'meaning' ? [] : await this.#byWords(query, count, options);
    // The best piece by words may differ from the best piece by meaning, but both belong to the same row.
    const rowOfDocument = new Map(meaning.map(({ document, row }) => [document, row]));
    const words = byWords.map(({ document, row, score }) => ({ row: rowOfDocument.get(document) ?? row, score }));
    const order =
      by === 'both'
        ? fuseRankings([meaning, words], { weights: [weights.meaning, weights.words], topK: count })
        : [...meaning, ...words];
    const rows = await this.#rowsAt(order.map(({ row }) => row));
    const scoreOf = (hits: readonly SearchHit[], name: 'meaning' | 'words', row: number) => {
      const found = hits.find((hit) => hit.row === row);
      return found === undefined ? {} : { [name]: found.score };
    };
    const hits = order.map(({ row, score }, index) => ({
      ...rows[index]!,
      score,
      scores: { ...scoreOf(meaning, 'meaning', row), ...scoreOf(words, 'words', row) },
    }));
    return this.#reranker === undefined ? hits.slice(0, topK) : this.#rerank(query, hits, topK, signal);
  }

  async #rerank(query: string, hits: readonly IndexHit[], topK: number, signal?: AbortSignal): Promise<IndexHit[]> {
    const texts = hits.map(({ text, directory }) => text ?? refuseWithoutTexts(directory));
    const ranked = await this.#reranker!.rank(query, texts, { topK, signal });
    const wrong = ranked.find(({ row, score }) => hits[row] === undefined || Number.isNaN(score));
    if (wrong !== undefined)
      throw new SentvecError(
        'backend-failed',
        `The reranker gave document ${wrong.row} of ${hits.length} the score ${wrong.score}. Its rows must be indices into the list that it got, its scores numbers.`,
      );
    return ranked.map(({ row, score }) => ({
      ...hits[row]!,
      score,
      scores: { ...hits[row]!.scores, reranker: score },
    }));
  }

  async #byMeaning(
    query: string,
    topK: number,
    { filter, eachPiece, query: asked = {}, signal }: IndexSearchOptions,
  ): Promise<DocumentHit[]> {
    const [first] = this.#parts;
    const options = queryOptions(this.#embedder, first!.embeddings.manifest, asked);
    const { vectors } = await this.#embedder.embed([query], { ...options, signal });
    const search = { topK, filter, eachPiece, signal };
    const graphs = this.#parts.flatMap(({ graph, firstRow }) => (graph === undefined ? [] : [{ graph, firstRow }]));
    if (graphs.length === 0) return this.#nearest(vectors, search);
    for (let count = Math.max(4 * topK, leastProposed); count <= this.rows / 10; count *= 4) {
      const proposed = graphs.flatMap(({ graph, firstRow }) =>
        graph.propose(vectors, count).map((row) => firstRow + row),
      );
      const best = await this.#nearest(vectors, search, new Set(proposed));
      // A filter, or pieces of the same rows, may have left too few.
      if (best.length >= topK) return best;
    }
    return this.#nearest(vectors, search);
  }

  /** The best rows of all, or of some, by comparing their vectors with that of the query. */
  async #nearest(
    query: Matrix,
    {
      topK,
      filter,
      eachPiece = false,
      signal,
    }: Pick<IndexSearchOptions, 'filter' | 'eachPiece' | 'signal'> & { readonly topK: number },
    among?: ReadonlySet<number>,
  ): Promise<DocumentHit[]> {
    let best: DocumentHit[] = [];
    for await (const { batch, firstRow, manifest } of this.#batches(signal, among && [...among])) {
      const offset = firstRow + batch.offset;
      const chosen = this.#chosenRows(batch, filter, among && ((index) => among.has(offset + index)));
      if (chosen.length === 0) continue;
      const all = chosen.length === batch.vectors.rows;
      const candidates = all ? batch.vectors : pickRows(batch.vectors, chosen);
      const documents = documentsOf(batch, eachPiece);
      const options = { topK, signal, documents: chosen.map((index) => documents[index]!) };
      const [hits] =
        'precision' in candidates
          ? await searchQuantized(query, candidates, options)
          : await semanticSearch(query, candidates, { ...options, similarity: manifest.similarityFunction });
      const scored = hits!.map(({ row, score }) => {
        const index = chosen[row]!;
        return { row: offset + index, score, document: offset + documents[index]! };
      });
      best = [...best, ...scored].sort((a, b) => b.score - a.score || a.row - b.row).slice(0, topK);
    }
    return best;
  }

  async #byWords(
    query: string,
    topK: number,
    { filter, eachPiece = false, signal }: IndexSearchOptions,
  ): Promise<DocumentHit[]> {
    const index = await abortable(this.#wordIndex(), signal);
    const inPieces = !eachPiece && this.#parts.some(({ embeddings }) => embeddings.manifest.pieces !== undefined);
    if (filter === undefined && !inPieces)
      return (await index.search(query, { topK, signal })).map((hit) => ({ ...hit, document: hit.row }));
    const documents = await this.#documents(filter, eachPiece, signal);
    for (let asked = topK; ; asked *= 4) {
      const hits = await index.search(query, { topK: asked, signal });
      const seen = new Set([-1]);
      const fitting: DocumentHit[] = [];
      for (const hit of hits) {
        const document = documents[hit.row]!;
        if (!seen.has(document)) fitting.push({ ...hit, document });
        seen.add(document);
      }
      if (fitting.length >= topK || hits.length < asked) return fitting.slice(0, topK);
    }
  }

  /** For each vector, the index of the first vector of its row; -1 for rows that the filter excludes. */
  async #documents(
    filter: IndexSearchOptions['filter'],
    eachPiece: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Int32Array> {
    const found = new Int32Array(this.rows).fill(-1);
    for await (const { batch, firstRow } of this.#batches(signal)) {
      const documents = documentsOf(batch, eachPiece);
      const offset = firstRow + batch.offset;
      for (const index of this.#chosenRows(batch, filter)) found[offset + index] = offset + documents[index]!;
    }
    return found;
  }

  /** The indices of the rows of a batch that a filter accepts. */
  #chosenRows(
    batch: EmbeddingBatch,
    filter: IndexSearchOptions['filter'],
    isProposed: (index: number) => boolean = () => true,
  ): number[] {
    const indices = Array.from(batch.ids.keys()).filter(isProposed);
    if (filter === undefined) return indices;
    return indices.filter((index) => {
      const columns = Object.assign(Object.create(this.#unknownColumns), describe(batch, index).columns);
      return filter(columns as Readonly<Record<string, unknown>>, batch.ids[index]!);
    });
  }

  /** The BM25 index, built once. It ignores the signals of searches, because several searches may wait for it. */
  #wordIndex(): Promise<Bm25Index> {
    const texts = async function* (batches: AsyncIterable<PlacedBatch>): AsyncGenerator<string, void> {
      for await (const { batch, directory } of batches) yield* batch.texts ?? refuseWithoutTexts(directory);
    };
    this.#words ??= createBm25Index(texts(this.#batches(undefined))).catch((error: unknown) => {
      this.#words = undefined; // The next search tries again.
      throw error;
    });
    return this.#words;
  }

  /** @param among only shards that hold one of these vectors */
  async *#batches(signal: AbortSignal | undefined, among?: readonly number[]): AsyncGenerator<PlacedBatch, void> {
    for (const { directory, embeddings, firstRow } of this.#parts)
      for await (const batch of embeddings.batches({ rows: among?.map((row) => row - firstRow) })) {
        throwIfAborted(signal);
        yield { batch, directory, firstRow, manifest: embeddings.manifest };
      }
  }

  /** Reads rows by index, in the given order. Only shards with one of them are read. */
  async #rowsAt(wanted: readonly number[]): Promise<Row[]> {
    const found = new Map<number, Row>();
    for (const { directory, embeddings, firstRow } of this.#parts) {
      const end = firstRow + shardTotals(embeddings.manifest).vectors;
      const own = wanted.filter((row) => row >= firstRow && row < end).map((row) => row - firstRow);
      for await (const batch of embeddings.batches({ rows: own }))
        for (const row of own) {
          const index = row - batch.offset;
          if (index >= 0 && index < batch.ids.length)
            found.set(firstRow + row, { directory, row: firstRow + row, ...describe(batch, index) });
        }
    }
    return wanted.map((row) => found.get(row)!);
  }
}

/** A hit with the index of the first vector of its row. */
interface DocumentHit extends SearchHit {
  readonly document: number;
}

/**
 * For each vector of a batch, the index of the first vector of its row: itself, unless rows were embedded in pieces.
 */
function documentsOf({ ids, pieces }: EmbeddingBatch, eachPiece: boolean): number[] {
  return ids.map((_, index) => index - (eachPiece ? 0 : (pieces?.[index]!.piece ?? 0)));
}

interface PlacedBatch {
  readonly batch: EmbeddingBatch;
  readonly directory: string;
  readonly firstRow: number;
  readonly manifest: Manifest;
}

function queryOptions(
  { prompts }: Embedder,
  { options }: Manifest,
  asked: Pick<EmbedOptions, 'prompt' | 'route' | 'task'>,
): EmbedOptions {
  const { prompt, task, route: _, ...others } = embedOptions(options);
  return {
    ...others,
    as: 'query',
    prompt: asked.prompt ?? (Object.hasOwn(prompts, 'query') ? undefined : prompt),
    route: asked.route,
    task: asked.task ?? (task === undefined || isDocumentTask(task) ? undefined : task),
  };
}

function describe({ ids, pieces, texts, columns }: EmbeddingBatch, index: number): Omit<Row, 'directory' | 'row'> {
  const kept = Object.entries(columns).map(([name, values]) => [name, values[index]]);
  const piece = pieces?.[index];
  return { id: ids[index]!, text: texts?.[index], ...(piece && { piece }), columns: Object.fromEntries(kept) };
}

/** A prototype that throws for any column that is not in `known`, except for properties that every object has. */
function refuseUnknownColumns(known: readonly string[]): object {
  return new Proxy(Object.prototype, {
    get: (target, name, receiver): unknown => {
      if (typeof name === 'symbol' || name in target || name === 'toJSON' || known.includes(name))
        return Reflect.get(target, name, receiver);
      const message = `The filter accesses the column ${JSON.stringify(name)}, which was not kept. Kept columns: ${[...new Set(known)].join(', ') || 'none'}. To use it, embed the corpus again with this column in \`columns\`.`;
      throw new SentvecError('invalid-argument', message, { column: name });
    },
  });
}

function refuseWithoutTexts(directory: string): never {
  throw new SentvecError(
    'invalid-output',
    `${directory} does not contain the texts of its rows, which a search by words and a reranker need. ` +
      'Embed the corpus again and keep the column of texts.',
    { file: directory },
  );
}
