// Groups rows of (query, document, relevance) into one example per query, for listwise losses.
import { SentvecError } from '@sentvec/core';
import { absentDocument } from '../losses/listwise.ts';
import type { ExampleTable } from './samplers.ts';

/**
 * Makes one example per query. With two columns (query, document), all rows with the same query form its list: the rows
 * may be anywhere in the file, and lists may have different lengths. With more columns, each row is a list already; if
 * it has no labels, its first document is the relevant one.
 * @throws SentvecError `invalid-corpus` when no query has two documents, or when rows of two columns have no labels
 */
export function listsOfQueries(examples: ExampleTable, file: string): ExampleTable {
  const { columns, labels } = examples;
  const [queries = [], documents = []] = columns;
  if (columns.length > 2) {
    const labelWidth = columns.length - 1;
    return labels === undefined
      ? {
          columns,
          labelWidth,
          labels: Float32Array.from({ length: queries.length * labelWidth }, (_, i) => Number(i % labelWidth === 0)),
        }
      : examples;
  }
  if (labels === undefined || labels.length !== queries.length)
    throw new SentvecError(
      'invalid-corpus',
      `${file}: a listwise loss needs a relevance label for each row of query and document. Name the column that holds it.`,
      { file },
    );
  const rowsOf = new Map<string, number[]>();
  for (const [row, query] of queries.entries()) {
    const rows = rowsOf.get(query);
    if (rows === undefined) rowsOf.set(query, [row]);
    else rows.push(row);
  }
  const lists = [...rowsOf].filter(([, rows]) => rows.length > 1);
  const labelWidth = lists.reduce((most, [, rows]) => Math.max(most, rows.length), 0);
  if (labelWidth === 0)
    throw new SentvecError(
      'invalid-corpus',
      `${file}: no query has two documents, so there is nothing to rank. Give each query at least two rows.`,
      { file },
    );
  const cells = <Cell>(cell: (row: number) => Cell, absent: Cell): Cell[][] =>
    Array.from({ length: labelWidth }, (_, position) =>
      lists.map(([, rows]) => (position in rows ? cell(rows[position]!) : absent)),
    );
  const labelColumns = cells((row) => Number(labels[row]), absentDocument);
  return {
    columns: [lists.map(([query]) => query), ...cells((row) => documents[row]!, '')],
    labels: Float32Array.from(lists.flatMap((_, list) => labelColumns.map((column) => column[list]!))),
    labelWidth,
  };
}
