import { readFile, rm, writeFile } from 'node:fs/promises';
import { goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { Workplace } from './sentvec.ts';

const place = new Workplace();

interface Parity {
  readonly texts: number;
  readonly same: boolean;
  readonly pairs: readonly {
    readonly backends: readonly string[];
    readonly difference: number;
    readonly cosine: number;
    readonly ok: boolean;
  }[];
}

/** The pair of backends that every machine has; WebGPU may be unavailable. */
const pairOf = ({ pairs }: Parity) => pairs.find(({ backends }) => backends.join() === 'onnx,tfjs')!;

describe('parity', () => {
  it('reports the same vectors on every backend', async () => {
    const found = JSON.parse(await place.succeed(['parity', goldenPath('models/tiny-mpnet'), '--json'])) as Parity;
    expect(found).toMatchObject({ same: true, texts: 13 });
    expect(pairOf(found).difference).toBeLessThan(1e-5);
    expect(pairOf(found).difference).toBeGreaterThan(0);
    expect(pairOf(found).cosine).toBeCloseTo(1, 9);
  });

  it('exits with 1 and a message if the vectors differ by more than the tolerance', async () => {
    const { code, stdout } = await place.run(['parity', goldenPath('models/tiny-roberta'), '--tolerance', '1e-12']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/onnx – tfjs +\d\.\de-\d+ +[01]\.\d+ +NOT EQUAL: more than 1e-12/);
  });

  it('refuses a tolerance of 0 or less', async () => {
    const { code, stderr } = await place.run(['parity', '--tolerance', 'some']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--tolerance must be a number above 0/);
  });
});

describe('a folder with a failing self-check', () => {
  it('is refused with the size of the difference, and accepted with --no-self-check', async () => {
    await place.succeed(['export', goldenPath('models/tiny-bert'), '--output', 'exported']);
    const file = place.path('exported/self-check.json');
    const selfCheck = JSON.parse(await readFile(file, 'utf8')) as { token_embeddings: string };
    const values = Buffer.from(selfCheck.token_embeddings, 'base64');
    for (let at = 0; at < values.length; at += 8) values.writeFloatLE(values.readFloatLE(at) * 1.002, at);
    await writeFile(file, JSON.stringify({ ...selfCheck, token_embeddings: values.toString('base64') }));
    // Keep only the ONNX file, so that there are no other reference values.
    await rm(place.path('exported/model.safetensors'));
    const words = ['similarity', 'a cat', 'a dog', '--model', 'exported'];
    const { code, stderr } = await place.run([...words, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'backend-wrong', message: expect.stringMatching(/onnx .*differ by 9\.\d+e-4 .*--no-self-check/) },
    });
    expect(await place.succeed([...words, '--no-self-check'])).toMatch(/1\.0000/);
  });
});
