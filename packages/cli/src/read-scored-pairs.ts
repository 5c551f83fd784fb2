import { readFile } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { parse } from 'csv-parse/sync';

/** Pairs of texts with the score that people gave them. */
export interface ScoredPairs {
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly scores: readonly number[];
}

/**
 * The names under which the two texts and the score are found; `undefined`: the first three columns, or the usual
 * names.
 */
export type PairColumns = readonly [first: string, second: string, score: string] | undefined;

type Row = readonly [number: number, first: unknown, second: unknown, score: unknown];

const usualNames = ['sentence1', 'sentence2', 'score'] as const;

/**
 * Reads scored pairs from CSV, TSV (by the ending `.tsv`) or JSON lines (`.jsonl`, `.ndjson`). A first row of CSV whose
 * score is no number is taken for a header.
 * @throws SentvecError `io-failed`, `invalid-corpus` naming file and row
 */
export async function readScoredPairs(file: string, columns: PairColumns): Promise<ScoredPairs> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (cause) {
    if (cause instanceof TypeError)
      throw new SentvecError('invalid-corpus', `${file} is not UTF-8. Convert it first.`, { file }, { cause });
    throw new SentvecError('io-failed', `${file} cannot be read: ${(cause as Error).message}.`, { file }, { cause });
  }
  const rows = /\.(jsonl|ndjson)$/i.test(file)
    ? jsonRows(text, file, columns ?? usualNames)
    : csvRows(text, file, columns);
  if (rows.length < 2)
    throw new SentvecError(
      'invalid-corpus',
      `${file} has ${rows.length} scored pairs; a correlation needs at least 2.`,
      { file },
    );
  return {
    first: rows.map((row) => textOf(row, 1, file)),
    second: rows.map((row) => textOf(row, 2, file)),
    scores: rows.map((row) => scoreOf(row, file)),
  };
}

function jsonRows(text: string, file: string, names: readonly [string, string, string]): Row[] {
  const rows: Row[] = [];
  for (const [number, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    let value: Record<string, unknown>;
    try {
      value = JSON.parse(line) as Record<string, unknown>;
    } catch (cause) {
      throw new SentvecError(
        'invalid-corpus',
        `${file}, row ${number}: this is not JSON. Put one object on each line.`,
        { file, row: number },
        { cause },
      );
    }
    rows.push([number, value?.[names[0]], value?.[names[1]], value?.[names[2]]]);
  }
  return rows;
}

function csvRows(text: string, file: string, columns: PairColumns): Row[] {
  let table: string[][];
  try {
    table = parse(text, {
      bom: true,
      delimiter: /\.tsv$/i.test(file) ? '\t' : ',',
      relax_column_count: true,
      skip_empty_lines: true,
    });
  } catch (cause) {
    throw new SentvecError('invalid-corpus', `${file} is not CSV: ${(cause as Error).message}.`, { file }, { cause });
  }
  const [header = []] = table;
  const positions = columns === undefined ? [0, 1, 2] : columns.map((name) => columnPosition(header, name, file));
  const hasHeader = columns !== undefined || Number.isNaN(toNumber(header[2]));
  return table
    .map((cells, row): Row => [row, ...(positions.map((position) => cells[position]) as [unknown, unknown, unknown])])
    .slice(hasHeader ? 1 : 0);
}

function columnPosition(header: readonly string[], name: string, file: string): number {
  const position = header.indexOf(name);
  if (position >= 0) return position;
  throw new SentvecError(
    'invalid-corpus',
    `${file} has no column ${JSON.stringify(name)}. Its first row is: ${header.join(', ')}.`,
    {
      file,
      row: 0,
    },
  );
}

function textOf(row: Row, part: 1 | 2, file: string): string {
  const value = row[part];
  if (typeof value === 'string') return value;
  const what = value === undefined ? 'is missing' : 'is not text';
  const message = `${file}, row ${row[0]}: the ${part === 1 ? 'first' : 'second'} text ${what}. Name the columns with --columns.`;
  throw new SentvecError('invalid-corpus', message, { file, row: row[0] });
}

function scoreOf(row: Row, file: string): number {
  const score = toNumber(row[3]);
  if (Number.isFinite(score)) return score;
  const message = `${file}, row ${row[0]}: the score ${JSON.stringify(row[3] ?? null)} is not a number. Name the columns with --columns.`;
  throw new SentvecError('invalid-corpus', message, { file, row: row[0] });
}

function toNumber(value: unknown): number {
  if (typeof value === 'string') return value.trim() === '' ? NaN : Number(value);
  return typeof value === 'number' ? value : NaN;
}
