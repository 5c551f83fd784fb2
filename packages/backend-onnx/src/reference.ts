import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { findShippedFile } from '@sentvec/architectures/onnx-files';
import type { Backend, ModelFiles } from '@sentvec/core';

/**
 * Reference values from the model's safetensors. Where its ONNX file is used, they may not have been downloaded, and
 * are not for this.
 */
export const reference: NonNullable<Backend['reference']> = async (files, batch) => {
  const shipped = findShippedFile(files.name, await files.list(), undefined);
  if (shipped === undefined || (await weightsAreHere(files))) {
    return (await import('@sentvec/architectures')).plainReference(files, batch);
  }
  return {
    reason: `${files.name} has an ONNX file, whose values are not checked: its safetensors are not on this machine.`,
  };
};

async function weightsAreHere({ directory, ...files }: ModelFiles): Promise<boolean> {
  const weights = (await files.list()).filter((path) => /^model[^/]*\.safetensors$/u.test(path));
  if (directory === undefined || weights.length === 0) return false;
  const found = await Promise.all(weights.map((path) => stat(join(directory, path)).catch(() => undefined)));
  return found.every((each) => each !== undefined);
}
