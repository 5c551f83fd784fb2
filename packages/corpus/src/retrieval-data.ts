// Reads retrieval tasks in two layouts: BEIR's (corpus.jsonl, queries.jsonl, qrels/test.tsv), and that of NanoBEIR and
// of BEIR on the hub (folders corpus, queries and qrels with a Parquet file per split).
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { ioError, isSystemError } from '@sentvec/platform/node';
import { readRows, rowError, textOf, type TableRow } from './read-table.ts';

/** A retrieval task: queries and documents by id, and the relevant documents of each query. */
export interface RetrievalData {
  /** The name of its split, such as `test` or `NanoMSMARCO`. */
  readonly name: string;
  /** The judged queries by id. */
  readonly queries: Readonly<Record<string, string>>;
  /** Title and text of each document, by id. Documents without a text are left out. */
  readonly corpus: Readonly<Record<string, string>>;
  /**
   * For each query id, the ids of the relevant documents. Some may be missing from the corpus, so they are never found.
   */
  readonly relevant: Readonly<Record<string, readonly string[]>>;
  /** Number of judged documents that are missing from the corpus. */
  readonly missing: number;
  /** Number of judged queries that are left out, because they are missing or have no text. */
  readonly missingQueries: number;
}

/** Options of {@link readRetrievalData}. */
export interface RetrievalDataOptions {
  /**
   * Names of the splits to read.
   * @default all splits if each has its own corpus, as in NanoBEIR; else `test`; else the only split
   */
  readonly splits?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The names of the files or folders of a task. */
const parts = ['corpus', 'queries', 'qrels'] as const;
type Part = (typeof parts)[number];

/** The files of a part, by split. */
type Splits = ReadonlyMap<string, readonly string[]>;

/**
 * Reads retrieval tasks: `corpus` (`_id`, `text`, and optionally `title`, which is put before the text), `queries`
 * (`_id`, `text`) and `qrels` (`query-id`, `corpus-id`, and optionally `score`: a document is relevant if it is above
 * 0). Each is a file or a folder of files: JSON lines, TSV, CSV or Parquet, plain or gzip. Numeric ids become strings.
 * @returns one task per split
 * @throws SentvecError `invalid-corpus`, with `details.file` and `details.row`, for a missing part or split, a row
 * without its fields, or a duplicate id; `invalid-argument`; `io-failed`; `aborted`
 */
export async function readRetrievalData(
  directory: string,
  options: RetrievalDataOptions = {},
): Promise<RetrievalData[]> {
  checkOptionNames('readRetrievalData()', options, { splits: true, signal: true });
  const { signal } = options;
  const found = await findParts(directory);
  const tasks: RetrievalData[] = [];
  for (const name of chooseSplits(directory, found, options.splits)) {
    const relevant = await readJudgements(filesOf(directory, found, 'qrels', name), signal);
    const queries = await readTexts(filesOf(directory, found, 'queries', name), signal);
    const corpus = await readTexts(filesOf(directory, found, 'corpus', name), signal);
    tasks.push(joinParts(directory, name, { relevant, queries, corpus }));
  }
  return tasks;
}

/** Whether a folder contains the three parts. */
export async function isRetrievalData(directory: string): Promise<boolean> {
  const names = await readdir(directory).catch(() => []);
  return parts.every((part) => names.some((name) => name === part || isFileOf(part, name)));
}

async function findParts(directory: string): Promise<Readonly<Record<Part, Splits>>> {
  const names = await list(directory);
  const found: [Part, Splits][] = [];
  for (const part of parts) {
    const splits = new Map<string, string[]>();
    for (const name of names.filter((each) => isFileOf(part, each))) splits.set('', [join(directory, name)]);
    const inside = names.includes(part) ? await list(join(directory, part)) : [];
    for (const name of inside.filter((each) => tableFile.test(each)))
      splits.set(splitOf(name), [...(splits.get(splitOf(name)) ?? []), join(directory, part, name)]);
    if (splits.size === 0)
      throw new SentvecError(
        'invalid-corpus',
        `${directory} has no ${part}: neither a file ${part}.jsonl nor a folder ${part} with files. ` +
          'A retrieval task has corpus.jsonl, queries.jsonl and qrels/test.tsv, or folders corpus, queries and qrels.',
        { file: directory },
      );
    found.push([part, splits]);
  }
  return Object.fromEntries(found) as Record<Part, Splits>;
}

const tableFile = /\.(?:jsonl|ndjson|csv|tsv|parquet)(?:\.gz)?$/i;

function isFileOf(part: Part, name: string): boolean {
  return tableFile.test(name) && name.replace(tableFile, '') === part;
}

/** The split of a file name: `test` for `test.tsv` and for `test-00000-of-00002.parquet`. */
function splitOf(name: string): string {
  return basename(name)
    .replace(tableFile, '')
    .replace(/-\d{5}-of-\d{5}(?:-[0-9a-f]+)?$/, '');
}

async function list(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (!isSystemError(error, 'ENOENT') && !isSystemError(error, 'ENOTDIR')) throw ioError(error, 'Reading', directory);
    throw new SentvecError('invalid-corpus', `There is no folder ${directory}. Check the path.`, { file: directory });
  }
}

function chooseSplits(
  directory: string,
  { corpus, qrels }: Readonly<Record<Part, Splits>>,
  wanted: readonly string[] | undefined,
): string[] {
  const all = [...qrels.keys()];
  const names = all.map((name) => name || 'qrels').join(', ');
  const unknown = wanted?.find((name) => !qrels.has(name));
  if (unknown !== undefined)
    throw new SentvecError('invalid-corpus', `${directory} has no split ${unknown}. It has ${names}.`, {
      file: directory,
    });
  if (wanted !== undefined && wanted.length > 0) return [...new Set(wanted)];
  if (all.length === 1 || (corpus.size > 1 && all.every((name) => corpus.has(name)))) return all;
  if (qrels.has('test')) return ['test'];
  const message = `${directory} has several splits, but none is called test: ${names}. Choose some by name.`;
  throw new SentvecError('invalid-corpus', message, { file: directory });
}

/** The files of a part for a split: those with its name, or else the files of the only split of this part. */
function filesOf(
  directory: string,
  found: Readonly<Record<Part, Splits>>,
  part: Part,
  split: string,
): readonly string[] {
  const splits = found[part];
  const [only] = splits.size === 1 ? splits.values() : [];
  const files = splits.get(split) ?? only;
  if (files !== undefined) return files;
  const message = `${directory} has no ${part} for the split ${split}. The splits of ${part} are ${[...splits.keys()].join(', ')}.`;
  throw new SentvecError('invalid-corpus', message, { file: directory });
}

async function readTexts(files: readonly string[], signal: AbortSignal | undefined): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const file of files) {
    for await (const row of readRows({ file, columns: ['text', '_id'], optional: ['title'] })) {
      throwIfAborted(signal);
      const id = idOf(row, '_id');
      const title = row.record['title'];
      const own = textOf(row, 'text');
      const text = typeof title === 'string' && title !== '' ? `${title} ${own}`.trim() : own;
      if (texts.has(id) && texts.get(id) !== text)
        throw rowError(row, `The id ${JSON.stringify(id)} occurs twice. Give each text its own id.`);
      texts.set(id, text);
    }
  }
  return texts;
}

async function readJudgements(
  files: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, Set<string>>> {
  const relevant = new Map<string, Set<string>>();
  for (const file of files) {
    for await (const row of readRows({ file, columns: ['query-id', 'corpus-id'], optional: ['score'] })) {
      throwIfAborted(signal);
      if (!isRelevant(row)) continue;
      const query = idOf(row, 'query-id');
      const ids = relevant.get(query) ?? new Set<string>();
      relevant.set(query, ids);
      for (const id of idsOf(row, 'corpus-id')) ids.add(id);
    }
  }
  return relevant;
}

function isRelevant(row: TableRow): boolean {
  const { score } = row.record;
  if (score === undefined || score === null) return true;
  const grade = typeof score === 'string' && score.trim() !== '' ? Number(score) : score;
  if (typeof grade !== 'number' || Number.isNaN(grade))
    throw rowError(row, `The score is ${JSON.stringify(score)}, not a number.`);
  return grade > 0;
}

function idOf(row: TableRow, column: string): string {
  return idFrom(row, column, row.record[column]);
}

/** The ids in a field. Some files list all documents of a query in one row. */
function idsOf(row: TableRow, column: string): string[] {
  const value = row.record[column];
  return (Array.isArray(value) ? value : [value]).map((each) => idFrom(row, column, each));
}

function idFrom(row: TableRow, column: string, value: unknown): string {
  if ((typeof value === 'string' && value !== '') || typeof value === 'number') return String(value);
  const found = value === undefined ? `; the row has ${Object.keys(row.record).join(', ')}` : '';
  throw rowError(row, `The id in "${column}" is ${JSON.stringify(value) ?? 'not there'}${found}.`);
}

function joinParts(
  directory: string,
  name: string,
  read: {
    readonly relevant: ReadonlyMap<string, ReadonlySet<string>>;
    readonly queries: ReadonlyMap<string, string>;
    readonly corpus: ReadonlyMap<string, string>;
  },
): RetrievalData {
  const corpus = new Map([...read.corpus].filter(([, text]) => text.trim() !== ''));
  const queries = new Map(
    [...read.queries].filter(([id, text]) => text.trim() !== '' && (read.relevant.get(id)?.size ?? 0) > 0),
  );
  const relevant = new Map([...queries.keys()].map((id) => [id, [...read.relevant.get(id)!]]));
  const judged = new Set([...relevant.values()].flat());
  const missing = [...judged].filter((id) => !corpus.has(id)).length;
  if (queries.size === 0 || missing === judged.size) {
    const problem =
      queries.size === 0
        ? 'none of the query ids in the qrels is among the queries'
        : 'none of the document ids in the qrels is in the corpus';
    const message = `${directory}: ${problem}. Check that the ids match and that the files belong together.`;
    throw new SentvecError('invalid-corpus', message, { file: directory });
  }
  return {
    name: name || basename(directory),
    queries: Object.fromEntries(queries),
    corpus: Object.fromEntries(corpus),
    relevant: Object.fromEntries(relevant),
    missing,
    missingQueries: read.relevant.size - queries.size,
  };
}
