import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { examplesOfClasses, noDuplicates } from '@sentvec/training';
import { parseTrainingConfig } from '@sentvec/training/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readExamples } from '../src/node/configured-data.ts';

const texts = Array.from({ length: 60 }, (_, row) => `text ${row}`);
const classes = texts.map((_, row) => `class ${row % 6}`);
const classOf = (text: string): string => classes[texts.indexOf(text)]!;

describe('examplesOfClasses()', () => {
  it.each(['pairs', 'triplets'] as const)(
    'makes %s of different texts of a class, and for triplets a text of another class',
    (make) => {
      const { columns, distinct } = examplesOfClasses(texts, classes, { make, perText: 3 });
      expect(columns).toHaveLength(make === 'pairs' ? 2 : 3);
      expect(columns[0]).toHaveLength(60 * 3);
      for (const [row, anchor] of columns[0]!.entries()) {
        expect(columns[1]![row]).not.toBe(anchor);
        expect(classOf(columns[1]![row]!)).toBe(classOf(anchor));
        for (const negatives of columns.slice(2)) expect(classOf(negatives[row]!)).not.toBe(classOf(anchor));
        expect(distinct![row]).toEqual([...new Set(columns.map((column) => classOf(column[row]!)))]);
      }
      const rows = columns[0]!.map((_, row) => columns.map((column) => column[row]!).join());
      expect(new Set(columns[0]!.map((anchor, row) => `${anchor}, ${columns[1]![row]}`)).size).toBe(rows.length);
    },
  );

  it('makes the same examples for the same seed, and others for another seed', () => {
    const made = (seed: number) => examplesOfClasses(texts, classes, { seed, make: 'triplets' });
    expect(made(1)).toEqual(made(1));
    expect(made(1)).not.toEqual(made(2));
  });

  it('with noDuplicates, no class is in two examples of a batch', () => {
    const examples = examplesOfClasses(texts, classes, { make: 'triplets', perText: 2 });
    const batches = noDuplicates(examples, { batchSize: 4, seed: 3, epoch: 0 });
    expect(batches.flatMap((batch) => [...batch]).toSorted((a, b) => a - b)).toEqual(
      examples.columns[0]!.map((_, row) => row),
    );
    for (const batch of batches) {
      const inBatch = [...batch].flatMap((row) => examples.distinct![row]!);
      expect(new Set(inBatch).size).toBe(inBatch.length);
    }
  });

  it('uses the only text of a class as a negative', () => {
    const { columns } = examplesOfClasses(['a', 'b', 'c'], ['x', 'x', 'y'], { make: 'triplets' });
    expect(columns).toEqual([
      ['a', 'b'],
      ['b', 'a'],
      ['c', 'c'],
    ]);
  });

  it.each([
    [['a', 'b'], ['x', 'x'], {}, 'two classes'],
    [['a', 'a', 'b'], ['x', 'x', 'y'], {}, 'two different texts'],
    [['a', 'b'], ['x'], {}, '1 class labels for 2 texts'],
    [['a', 'b'], ['x', 'y'], { perText: 0 }, 'perText'],
  ])('refuse %o of %o with %o', (someTexts, someClasses, options, message) => {
    expect(() => examplesOfClasses(someTexts, someClasses, options)).toThrow(message);
  });
});

describe('fromClasses in a configuration', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sentvec-classes-'));
    const lines = texts.map((text, row) => JSON.stringify({ text, intent: classes[row] }));
    await writeFile(join(folder, 'intents.jsonl'), lines.join('\n'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const config = (data: object) =>
    parseTrainingConfig({ output: 'out', data: [{ file: 'intents.jsonl', ...data }] }, 'training.json');

  it('makes pairs from a column of texts and a column of classes', async () => {
    const loss = 'MultipleNegativesRankingLoss';
    const parsed = config({ columns: ['text'], label: 'intent', loss, fromClasses: { perText: 2 } });
    const { examples } = await readExamples(parsed.data[0]!, folder, parsed);
    expect(examples).toEqual(examplesOfClasses(texts, classes, { perText: 2 }));
  });

  it.each([{ columns: ['text', 'other'], label: 'intent' }, { columns: ['text'] }])('refuses %o', (wrong) => {
    const make = () => config({ ...wrong, loss: 'TripletLoss', fromClasses: { make: 'triplets' } });
    expect(make).toThrow(/fromClasses needs exactly one text column/);
  });
});
