// The contract suite of backends.
import type { Backend } from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { backendChecks, type BackendCheckOptions } from './backend-checks.ts';
import type { GoldenSource } from './golden-expectation.ts';

/** What the contract has to know about a backend. */
export interface BackendContractOptions extends BackendCheckOptions {
  /** Checks that cannot be made here: from the name of the check, or a part of it, to the reason, which is printed. */
  readonly skip?: Readonly<Record<string, string>> | undefined;
  /**
   * Where the golden models come from.
   * @default the files of this package, in Node
   */
  readonly goldens?: GoldenSource | undefined;
  /**
   * Milliseconds that a check may take.
   * @default 120_000
   */
  readonly timeout?: number | undefined;
}

/**
 * A vitest suite that every backend must pass; call it at the top level of a test file. It compares token embeddings,
 * pooled and final vectors of the golden models with PyTorch's values, and tries batches, order, lengths, calls at
 * once, abort, disposal, models that cannot be loaded, and memory over many loads.
 *
 * ```ts
 * backendContract(onnx(), { skip: { 'fill the memory': 'the driver keeps freed memory' } });
 * ```
 */
export function backendContract(backend: Backend, options: BackendContractOptions = {}): void {
  const { skip = {}, timeout = 120_000 } = options;
  const checks = backendChecks(backend, options.goldens ?? goldensOfThisPackage, options);
  describe(`backend contract of ${backend.name}`, () => {
    for (const part of Object.keys(skip)) {
      if (!checks.some(({ name }) => name.includes(part)))
        throw new Error(`skip names "${part}", but no check of the contract is called so.`);
    }
    const entries = checks.map(({ name, run }) => {
      const reason = Object.entries(skip).find(([part]) => name.includes(part))?.[1];
      return [reason === undefined ? name : `${name} (skipped: ${reason})`, run, reason] as const;
    });
    it.for(entries)('%s', { timeout }, async ([title, run, reason], context) => {
      if (reason !== undefined) {
        // A skip must be seen, and vitest's default report shows only how many there were.
        // oxlint-disable-next-line no-console
        console.warn(`Backend contract of ${backend.name}: ${title}`);
        context.skip(reason);
      }
      await expect(run()).resolves.toBeUndefined();
    });
  });
}

const filesOfThisPackage = async (): Promise<GoldenSource> => (await import('./golden-models.ts')).goldenFiles;

/** Imported when it is needed, so that the contract itself can be loaded where there are no files. */
const goldensOfThisPackage: GoldenSource = {
  model: (name) => ({
    name,
    list: async () => (await filesOfThisPackage()).model(name).list(),
    read: async (path) => (await filesOfThisPackage()).model(name).read(path),
  }),
  expectation: async (name) => (await filesOfThisPackage()).expectation(name),
};
