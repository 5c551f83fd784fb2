// Tests the folder, the output and the errors of `sentvec quantize`.
import { existsSync } from 'node:fs';
import { copyFile, cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { onnx } from '@sentvec/backend-onnx';
import { pairwiseSimilarity } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { plainBackend } from '@sentvec/architectures';
import { goldenPath } from '@sentvec/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { Workplace } from './sentvec.ts';

const place = new Workplace();
const tiny = goldenPath('models/tiny-bert');
const words = 'whales swim in the cold sea and ships follow them north until winter comes to stay'.split(' ');
const texts = Array.from({ length: 80 }, (_, i) =>
  Array.from({ length: 1 + ((i * 7) % 19) }, (__, j) => words[(i * 5 + j * (1 + (i % 4))) % words.length]!).join(' '),
).map((text, i) => `${text} ${i}`);
const lowBar = ['--min-mean-cosine', '0.99', '--min-cosine', '0.95', '--max-rank-loss', '0.02'];

beforeAll(() => place.write('texts.jsonl', texts.map((body) => JSON.stringify({ body })).join('\n')));

async function filesOf(name: string): Promise<string[]> {
  return (await readdir(place.path(name), { recursive: true })).map((path) => path.replaceAll('\\', '/')).sort();
}

const calibration = ['--calibrate', 'texts.jsonl', '--text', 'body', ...lowBar];

describe('sentvec quantize', () => {
  it('writes a folder with int8 and float32 weights, and prints size and quality', async () => {
    const printed = await place.succeed(['quantize', tiny, '-o', 'both', ...calibration]);
    expect(printed).toMatch(/both: onnx\/model_int8\.onnx, \d\.\d MB in place of \d\.\d MB, \d+\.\d times as fast/);
    expect(printed).toContain('Ranges from 60 texts; compared with float32 on 20 others:');
    expect(printed).toMatch(/all layers +0\.99\d+ +0\.9\d+ .* yes/);
    expect(await filesOf('both')).toEqual(
      expect.arrayContaining([
        'model.safetensors',
        'onnx/model.onnx',
        'onnx/model_int8.onnx',
        'onnx/model_int8.self-check.json',
        'self-check.json',
      ]),
    );
    const embed = async (variant: string | undefined) => {
      const embedder = await loadEmbedder(place.path('both'), { backend: onnx({ variant }) });
      try {
        const { vectors } = await embedder.embed(texts);
        return { vectors, hash: (await embedder.fingerprint()).hash, selfCheck: embedder.selfCheck };
      } finally {
        await embedder.dispose();
      }
    };
    const [float, quantized] = [await embed(undefined), await embed('model_int8')];
    expect(Math.min(...pairwiseSimilarity(float.vectors, quantized.vectors))).toBeGreaterThan(0.97);
    expect(quantized.hash).not.toBe(float.hash);
    expect(quantized.selfCheck).toMatchObject({ state: 'passed', reference: 'stored', tolerance: 0.03 });
    const similar = ['similarity', 'the cold sea', 'ships', '--model', 'both', '--json'];
    const plain = JSON.parse(await place.succeed(similar)) as { readonly matrix: readonly number[][] };
    const other = JSON.parse(await place.succeed([...similar, '--variant', 'model_int8'])) as typeof plain;
    expect(other.matrix[0]![1]).not.toBe(plain.matrix[0]![1]);
    expect(other.matrix[0]![1]).toBeCloseTo(plain.matrix[0]![1]!, 1);
  });

  it('writes a folder with only the quantized weights, which needs no --variant', async () => {
    const flags = ['--only-quantized', '--precision', 'int8-weights', '--json'];
    const json = await place.succeed(['quantize', tiny, '-o', 'small', ...flags, ...calibration]);
    const report = JSON.parse(json) as { readonly variant: string; readonly files: readonly string[] };
    expect(report.variant).toBe('model_int8_weights');
    const weights = (await filesOf('small')).filter((path) => /onnx\/|safetensors|self-check/u.test(path));
    expect(weights).toEqual(['onnx/model_int8_weights.onnx', 'onnx/model_int8_weights.self-check.json']);
    expect(report.files).toEqual(expect.arrayContaining(weights));
    await place.succeed(['similarity', 'the cold sea', 'ships', '--model', 'small']);
    await expect(loadEmbedder(place.path('small'), { backend: plainBackend() })).rejects.toThrow(
      'There is onnx/model_int8_weights.onnx, which only the backends onnx and webgpu can run',
    );
    // With a self-check of other weights, the file is refused.
    await cp(place.path('small'), place.path('changed'), { recursive: true });
    const check = 'onnx/model_int8_weights.self-check.json';
    const content = JSON.parse(await readFile(place.path(`changed/${check}`), 'utf8')) as Record<string, unknown>;
    const bytes = Buffer.from(String(content['token_embeddings']), 'base64');
    for (let at = 0; at < bytes.length; at += 8) bytes.writeFloatLE(bytes.readFloatLE(at) * 1.3, at);
    await writeFile(
      place.path(`changed/${check}`),
      JSON.stringify({ ...content, token_embeddings: bytes.toString('base64') }),
    );
    const { code, stderr } = await place.run(['similarity', 'a', 'b', '--model', 'changed']);
    expect(code).toBe(1);
    expect(stderr).toContain('computes wrong vectors for');
  });

  it('refuses invalid arguments and leaves no files', async () => {
    await copyFile(place.path('texts.jsonl'), place.path('there'));
    for (const [line, message] of [
      [['quantize', tiny, '-o', 'there'], 'is there already'],
      [['quantize', tiny, '-o', 'new', '--calibrate', 'missing.txt'], 'missing.txt'],
      [['quantize', tiny, '-o', 'new', '--calibrate', 'texts.jsonl'], 'body'],
      [['quantize', tiny, '-o', 'new', '--samples', '10', ...calibration], 'at least 64 different texts'],
      [
        ['quantize', tiny, '-o', 'new', ...calibration.slice(0, 4), '--min-cosine', '1'],
        'does not reach the minimum quality',
      ],
      [['quantize', tiny, '-o', 'new', '--min-cosine', 'high'], '--min-cosine'],
      [['similarity', 'a', 'b', '--variant', 'model_int8', '--backend', 'tfjs'], '--variant'],
    ] as const) {
      const result = await place.run([...line]);
      expect(result.stderr).toContain(message);
      expect(result.code).toBeGreaterThan(0);
      expect(existsSync(place.path('new'))).toBe(false);
    }
  });
});
