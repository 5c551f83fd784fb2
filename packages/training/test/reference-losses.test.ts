import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { useLite } from '@sentvec/model-use-lite';
import { goldenPath } from '@sentvec/testing';
import { lossFromName, makeBatch, recordGraphs, trainableTensors } from '@sentvec/training';
import { loadTrainable, onnxEngine, readTable } from '@sentvec/training/node';

interface GoldenRun {
  readonly lr: number;
  readonly batch: number;
  readonly losses: readonly number[];
  readonly grad_norms: readonly number[];
}

const data = fileURLToPath(new URL('../../../../shared/data/', import.meta.url));
const absent = existsSync(data) ? false : 'the data sets (STS-B, SNLI) may not be distributed with the project';
const golden = JSON.parse(readFileSync(goldenPath('training.json'), 'utf8')) as Record<string, GoldenRun & { readonly triplets?: unknown }>;

/** Of each premise with both: the premise, its first entailment and its first contradiction. */
function snliTriplets(): string[][] {
  const rows = readFileSync(`${data}nli/snli-dev.jsonl`, 'utf8').trim().split('\n');
  const byPremise = new Map<string, { entailment?: string; contradiction?: string }>();
  for (const row of rows) {
    const { premise, hypothesis, label } = JSON.parse(row) as { premise: string; hypothesis: string; label: string };
    const found = byPremise.get(premise) ?? {};
    byPremise.set(premise, found);
    if (label === 'entailment' || label === 'contradiction') found[label] ??= hypothesis;
  }
  return [...byPremise].flatMap(([premise, { entailment, contradiction }]) =>
    entailment !== undefined && contradiction !== undefined ? [[premise, entailment, contradiction]] : [],
  );
}
