// Lists of documents with the relevance of each, for losses over lists.
import { SentvecError } from '@sentvec/core';
import { absentDocument } from '../losses/listwise.ts';
import type { ExampleTable } from './samplers.ts';

/**
 * An example for each query. Of two columns, the rows with one query are a list: they need not follow each other, and
 * lists may have different lengths. Of more columns, each row is a list; without labels its first document is the right
 * one.
 * @throws SentvecError `invalid-corpus` when no query has two documents, or rows with a query have no labels
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
      `${file}: a loss over lists needs a number for each row with a query and a document: how well the document answers.`,
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
      `${file}: no query has two documents, so there is no list to put in order.`,
      { file },
    );
  const cells = <Cell>(cell: (row: number) => Cell, absent: Cell): Cell[][] =>
    Array.from({ length: labelWidth }, (_, place) =>
      lists.map(([, rows]) => (place in rows ? cell(rows[place]!) : absent)),
    );
  const byPlace = cells((row) => Number(labels[row]), absentDocument);
  return {
    columns: [lists.map(([query]) => query), ...cells((row) => documents[row]!, '')],
    labels: Float32Array.from(lists.flatMap((_, list) => byPlace.map((column) => column[list]!))),
    labelWidth,
  };
}
