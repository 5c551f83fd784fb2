// `sentvec rerank`: sorts the documents of a file by their relevance to a query.
import type { Reranker } from '@sentvec/core';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, loadRerankerOf, modelArguments } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { excerpt, outputWidth, renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const rerank: Command = defineCommand({
  name: 'rerank',
  summary: 'Sort documents by their relevance to a query, with a reranker.',
  args: {
    model: {
      type: 'positional',
      required: true,
      description: 'A reranker: a folder, or a name on the hub such as cross-encoder/ms-marco-MiniLM-L6-v2.',
    },
    'file…': {
      type: 'positional',
      required: true,
      description: 'JSON lines, CSV, TSV or Parquet; or plain text with one document per line.',
    },
    query: {
      type: 'string',
      alias: 'q',
      required: true,
      valueHint: 'TEXT',
      description: 'The query that the documents should answer.',
    },
    column: { type: 'string', default: 'text', valueHint: 'NAME', description: 'The column with the documents.' },
    'top-k': { type: 'string', alias: 'k', default: '10', valueHint: 'N', description: 'How many documents to print.' },
    label: { type: 'string', valueHint: 'NAME', description: 'The label to rank by, for a model with several labels.' },
    raw: { type: 'boolean', description: 'Print logits, without the activation of the model.' },
    prompt: { type: 'string', valueHint: 'NAME', description: "Name of one of the model's prompts." },
    revision: modelArguments.revision,
    ...backendArguments,
  },
  examples: [
    {
      line: 'sentvec rerank cross-encoder/ms-marco-MiniLM-L6-v2 hits.jsonl -q "how do I return it?"',
      does: 'The ten best documents',
    },
    { line: 'sentvec rerank ./my-reranker faq.txt -q "opening hours" -k 3 --json', does: 'Output in JSON' },
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    const [, ...files] = positionals;
    if (files.length === 0) throw new UsageError('Name a file with the documents after the model.');
    const topK = wholeNumber(args['top-k'], '--top-k');
    const documents = (await Promise.all(files.map((file) => readDocuments(file, args.column)))).flat();
    const texts = documents.map(({ document }) => document);
    const reranker: Reranker = await loadRerankerOf(args, context);
    try {
      const { query, label, prompt, raw } = args;
      const activation = raw === true ? 'Identity' : undefined;
      const ranked = await reranker.rank(query, texts, { topK, label, prompt, activation, signal });
      const hits = ranked.map(({ row, score }) => ({ score, ...documents[row]! }));
      const isOneFile = files.length === 1;
      const width = Math.max(20, outputWidth() - 24);
      const rows = hits.map(({ file, row, score, document }) => [
        score.toFixed(4),
        ...(isOneFile ? [] : [file]),
        String(row),
        excerpt(document, width),
      ]);
      const columns = [
        { title: 'score', align: 'right' },
        ...(isOneFile ? [] : [{ title: 'file' }]),
        { title: 'row', align: 'right' },
        { title: 'document' },
      ] as const;
      await context.print({ text: renderTable(columns, rows), json: { model: reranker.model.name, query, hits } });
    } finally {
      await reranker.dispose();
    }
  },
});

/** A document with its file and its row, from 0. */
interface Document {
  readonly file: string;
  readonly row: number;
  readonly document: string;
}

/** The documents of a file. Blank lines of plain text are not documents. */
async function readDocuments(file: string, column: string): Promise<Document[]> {
  const { readTable } = await import('@sentvec/corpus');
  const { columns } = await readTable({ file, columns: [column], plainText: true });
  const documents = columns[0]!.map((document, row) => ({ file, row, document }));
  return /\.txt(?:\.gz)?$/iu.test(file) ? documents.filter(({ document }) => document.trim() !== '') : documents;
}
