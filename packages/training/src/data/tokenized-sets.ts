// Texts as token ids, each different one tokenized once, and the batches that are made of them.
import { countUnpooledTokens, SentvecError, type Pooling, type TokenizedText, type Tokenizer } from '@sentvec/core';
import { makeBatch, type TrainingBatch } from './batch.ts';
import type { PlannedBatch } from './plan.ts';
import type { ExampleTable } from './samplers.ts';
import type { TrainingSet } from './training-set.ts';

/** How texts become the token ids that a model is trained on. */
export interface TextReader {
  readonly tokenizer: Tokenizer;
  /** The most tokens of a text. */
  readonly maxLength: number;
  readonly addSpecialTokens: boolean;
  readonly pooling: Pooling;
}

/** Tokenized texts of a column. */
export interface TokenizedColumn {
  readonly texts: readonly TokenizedText[];
  /** Leading tokens that take no part in pooling. */
  readonly unpooledTokens: number;
}

/** Texts as token ids, each after the prompt. Each different text is tokenized once. */
export async function tokenizeColumn(
  reader: TextReader,
  texts: readonly string[],
  prompt = '',
  signal?: AbortSignal,
): Promise<TokenizedColumn> {
  const { tokenizer, pooling, maxLength, addSpecialTokens } = reader;
  const options = { maxLength, addSpecialTokens, signal };
  const different = [...new Set(texts)];
  const tokenized = await tokenizer.encode(
    different.map((text) => prompt + text),
    options,
  );
  const byText = new Map(different.map((text, index) => [text, tokenized[index]!]));
  return {
    texts: texts.map((text) => byText.get(text)!),
    unpooledTokens: await countUnpooledTokens(prompt, pooling, tokenizer, options),
  };
}

/** The texts of all sets as token ids. */
export class TokenizedSets {
  readonly #sets: readonly TrainingSet[];
  /** By set. */
  readonly #columns: readonly (readonly TokenizedColumn[])[];

  private constructor(sets: readonly TrainingSet[], columns: readonly (readonly TokenizedColumn[])[]) {
    this.#sets = sets;
    this.#columns = columns;
  }

  /** @throws SentvecError `invalid-corpus` for a text that the tokenizer gives no token for, with its row; `aborted` */
  static async read(
    sets: readonly TrainingSet[],
    reader: TextReader,
    signal: AbortSignal | undefined,
  ): Promise<TokenizedSets> {
    const all: TokenizedColumn[][] = [];
    for (const { name, examples, prompts } of sets) {
      const columns: TokenizedColumn[] = [];
      for (const [index, texts] of examples.columns.entries()) {
        const column = await tokenizeColumn(reader, texts, prompts?.[index], signal);
        const row = column.texts.findIndex(({ ids }) => ids.length === 0);
        if (row >= 0)
          throw new SentvecError(
            'invalid-corpus',
            `${name}: row ${row} has nothing in column ${index + 1} of its texts that the model reads. Leave out empty texts.`,
            { file: name, row },
          );
        columns.push(column);
      }
      all.push(columns);
    }
    return new TokenizedSets(sets, all);
  }

  batch({ set, rows }: PlannedBatch): TrainingBatch {
    const { loss, examples } = this.#sets[set]!;
    const columns = this.#columns[set]!.map(({ texts, unpooledTokens }) => ({
      unpooledTokens,
      texts: Array.from(rows, (row) => texts[row]!),
    }));
    return makeBatch(
      columns,
      loss.labels === 'none' ? undefined : labelsOfRows(examples, rows, loss.labels === 'class'),
    );
  }
}

/** Labels as a loss takes them. Classes are numbered within the batch, so that float32 holds any name of one exactly. */
function labelsOfRows({ labels, labelWidth = 1 }: ExampleTable, rows: Int32Array, areClasses: boolean): Float32Array {
  const chosen = new Float32Array(rows.length * labelWidth);
  const numbers = new Map<string | number, number>();
  for (const [index, row] of rows.entries()) {
    for (let i = 0; i < labelWidth; i++) {
      const label = labels![row * labelWidth + i]!;
      if (areClasses && !numbers.has(label)) numbers.set(label, numbers.size);
      chosen[index * labelWidth + i] = areClasses ? numbers.get(label)! : Number(label);
    }
  }
  return chosen;
}
