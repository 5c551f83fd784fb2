import { plainBackend } from '@sentvec/architectures';
import { firstAvailable, loadEmbedder, type Backend } from '@sentvec/core';
import { goldenModel } from '@sentvec/testing';
import { expect, it } from 'vitest';

const ofVersion = (version: unknown): Backend => ({
  ...plainBackend(),
  name: 'next',
  specificationVersion: version as Backend['specificationVersion'],
});

it.each([
  [2, 'The backend next implements version 2 of the interface Backend; @sentvec/core needs version 1.'],
  [undefined, 'The backend next names no version of the interface Backend'],
])('a backend with the specification version %s is refused, and named in the message', async (version, message) => {
  const refusal = expect.objectContaining({ code: 'backend-unavailable', message: expect.stringContaining(message) });
  await expect(loadEmbedder(goldenModel('tiny-bert'), { backend: ofVersion(version) })).rejects.toEqual(refusal);
  expect(() => firstAvailable([plainBackend(), ofVersion(version)])).toThrow(refusal);
});
