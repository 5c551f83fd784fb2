import { plainBackend } from '@sentvec/architectures';
import {
  loadEmbedder,
  memoryModel,
  parseJson,
  readJson,
  readJsonObject,
  readModelFolder,
  SentvecError,
  type ModelFiles,
} from '@sentvec/core';
import { goldenModel } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const brokenUtf8 = Uint8Array.from([...utf8('{"a":"'), 0xff, ...utf8('"}')]);

describe('JSON of a model folder', () => {
  const model = memoryModel('a-model', {
    'list.json': '[1]',
    'object.json': '\ufeff{"a":"[[\\"[["}',
    'broken.json': brokenUtf8,
  });

  it('readJson() reads any value or undefined for a missing file; readJsonObject() requires an object', async () => {
    expect(await readJson(model, 'list.json')).toEqual([1]);
    expect(await readJsonObject(model, 'object.json')).toEqual({ a: '[["[[' });
    expect(await readJson(model, 'none.json')).toBeUndefined();
    await expect(readJsonObject(model, 'list.json')).rejects.toThrow('a-model/list.json must contain a JSON object.');
    await expect(readJson(model, 'broken.json')).rejects.toThrow('a-model/broken.json is not JSON');
  });

  it('may be nested 128 levels deep; brackets in strings do not count', () => {
    expect(() => parseJson(utf8(nested(128)), 'x.json')).not.toThrow();
    expect(() => parseJson(utf8(nested(129)), 'x.json')).toThrow(
      'x.json nests arrays and objects more than 128 levels',
    );
    expect(parseJson(utf8(JSON.stringify({ deep: nested(300), quote: `\\"${nested(300)}` })), 'x.json')).toEqual({
      deep: nested(300),
      quote: `\\"${nested(300)}`,
    });
  });
});

describe('a JSON file that would exhaust the memory', () => {
  it('is refused before it is read when its size is known', async () => {
    const read = async (): Promise<Uint8Array> => {
      throw new Error('It was read.');
    };
    const model: ModelFiles = {
      name: 'large',
      list: async () => ['config.json', 'README.md'],
      size: async () => 2 ** 40,
      read,
    };
    await expect(readJson(model, 'config.json')).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringMatching(/^large\/config\.json has 1099511627776 bytes; at most 134217728 are allowed/u),
    });
    const plain = { ...model, size: async (path: string) => (path === 'README.md' ? 2 ** 40 : 2) };
    const card = readModelFolder({ ...plain, read: async () => utf8('{}') });
    await expect(card).rejects.toMatchObject({ code: 'invalid-model', message: expect.stringContaining('README.md') });
  });

  it('is refused when it contains more than 4,194,304 arrays and objects', () => {
    const many = (count: number): Uint8Array => utf8(`[${'[],'.repeat(count - 2)}[]]`);
    expect(() => parseJson(many(2 ** 22), 'x.json')).not.toThrow();
    expect(() => parseJson(many(2 ** 22 + 1), 'x.json')).toThrow(
      'x.json contains more than 4194304 arrays and objects',
    );
  });
});

/** The golden model `tiny-bert` with changed files. */
async function changed(changes: Readonly<Record<string, (content: string) => Uint8Array>>): Promise<ModelFiles> {
  const golden = goldenModel('tiny-bert');
  const files: Record<string, Uint8Array> = {};
  for (const path of await golden.list()) files[path] = await golden.read(path);
  for (const [path, change] of Object.entries(changes))
    files[path] = change(new TextDecoder().decode(files[path] ?? utf8('{}')));
  return memoryModel('changed', files);
}

const jsonFiles = [
  'config.json',
  'config_sentence_transformers.json',
  'modules.json',
  '1_Pooling/config.json',
  'sentence_bert_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'self-check.json',
];

describe.each(jsonFiles)('%s', (path) => {
  it.each([
    ['with invalid UTF-8', () => brokenUtf8],
    ['nested 100,000 levels deep', (content: string) => utf8(`{"x":${nested(100_000)},${content.trim().slice(1)}`)],
    ['truncated', (content: string) => utf8(content.slice(0, -3))],
  ])('%s is refused with an error that names the file', async (_, change) => {
    const loading = loadEmbedder(await changed({ [path]: change }), { backend: plainBackend() });
    const error: unknown = await loading.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SentvecError);
    expect(error).toMatchObject({ code: 'invalid-model', message: expect.stringContaining(path) });
  });
});
