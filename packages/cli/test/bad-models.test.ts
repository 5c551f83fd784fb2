import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { goldenPath } from '@sentvec/testing';
import { expect, it } from 'vitest';
import { Workplace } from './sentvec.ts';

const place = new Workplace();

interface Damage {
  readonly golden: string;
  /** Damages the copy of the golden model in `folder`. */
  readonly damage: (folder: string) => Promise<void>;
  /** Pattern that the message must match. */
  readonly names: RegExp;
}

type Module = Record<string, unknown>;

const weights = 'model.safetensors';

/** Changes the header of a safetensors file, but not its data. */
async function editHeader(
  folder: string,
  edit: (header: Record<string, { shape: number[]; data_offsets: [number, number] }>) => void,
) {
  const bytes = await readFile(join(folder, weights));
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + size).toString());
  edit(header);
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await writeFile(join(folder, weights), Buffer.concat([length, text, bytes.subarray(8 + size)]));
}

/** Changes a JSON file. */
function editJson<Value>(path: string, edit: (value: Value) => Value | object): Damage['damage'] {
  return async (folder) => {
    const file = join(folder, path);
    await writeFile(file, JSON.stringify(edit(JSON.parse(await readFile(file, 'utf8')))));
  };
}

const cases: Record<string, Damage> = {
  'a folder without weights': {
    golden: 'tiny-bert',
    damage: (folder) => rm(join(folder, weights)),
    names: /model\.safetensors/,
  },
  'safetensors cut short': {
    golden: 'tiny-bert',
    damage: async (folder) =>
      writeFile(join(folder, weights), (await readFile(join(folder, weights))).subarray(0, -100)),
    names: /model\.safetensors.*truncated/,
  },
  'a header that lies about a size': {
    golden: 'tiny-bert',
    damage: (folder) =>
      editHeader(folder, (header) => {
        header['encoder.layer.0.output.dense.bias']!.shape = [1_000_000_000];
      }),
    names: /model\.safetensors.*encoder\.layer\.0\.output\.dense\.bias/,
  },
  'tensors that overlap': {
    golden: 'tiny-bert',
    damage: (folder) =>
      editHeader(folder, (header) => {
        header['encoder.layer.0.output.dense.bias']!.data_offsets =
          header['encoder.layer.1.output.dense.bias']!.data_offsets;
      }),
    names: /model\.safetensors/,
  },
  'a header of 2^63 bytes': {
    golden: 'tiny-bert',
    damage: async (folder) => {
      const bytes = await readFile(join(folder, weights));
      bytes.writeBigUInt64LE(2n ** 63n);
      await writeFile(join(folder, weights), bytes);
    },
    names: /model\.safetensors.*9223372036854775808/,
  },
  'an unknown module': {
    golden: 'tiny-bert',
    damage: editJson<Module[]>('modules.json', (modules) => [
      ...modules,
      { idx: 9, name: '9', path: '9_Oracle', type: 'somewhere.Oracle' },
    ]),
    names: /modules\.json.*Oracle/,
  },
  'a module outside the folder': {
    golden: 'tiny-bert',
    damage: editJson<Module[]>('modules.json', ([first, ...rest]) => [first, { ...rest[0], path: '../../outside' }]),
    names: /modules\.json.*\.\.\/\.\.\/outside/,
  },
  'a dense layer whose shape does not fit': {
    golden: 'tiny-roberta',
    damage: (folder) =>
      cp(goldenPath('models/tiny-bert-multipool/2_Dense'), join(folder, '2_Dense'), { recursive: true }),
    names: /2_Dense/,
  },
  'a tokenizer with ids beyond the vocabulary': {
    golden: 'tiny-bert',
    damage: editJson<{ model: { vocab: Record<string, number> } }>('tokenizer.json', (tokenizer) => {
      tokenizer.model.vocab['extraordinary'] = 999_999;
      return tokenizer;
    }),
    names: /tokenizer/,
  },
  'an unknown architecture': {
    golden: 'tiny-bert',
    damage: editJson<Record<string, unknown>>('config.json', (config) => ({ ...config, model_type: 'crystal-ball' })),
    names: /config\.json.*crystal-ball/,
  },
};

it.each(Object.keys(cases))('sentvec embed refuses %s, and leaves no output', async (name) => {
  const { golden, damage, names } = cases[name]!;
  const folder = name.replaceAll(/\W+/g, '-');
  await cp(goldenPath(`models/${golden}`), place.path(folder), { recursive: true });
  await damage(place.path(folder));
  await place.write('text.txt', 'hello\n');
  const { code, stdout, stderr } = await place.run([
    'embed',
    'text.txt',
    '--model',
    `./${folder}`,
    '--output',
    `${folder}-vectors`,
  ]);
  expect(stderr).toMatch(names);
  expect(stderr).toContain(folder);
  expect(stderr).toMatch(/^sentvec: [^\n]+\n$/);
  expect(stdout).toBe('');
  expect(code).toBe(1);
  expect(await readdir(place.directory)).not.toContain(`${folder}-vectors`);
});

it.each([
  ['./no-such-folder', /no-such-folder/],
  ['no-such-organization/no-such-model', /no-such-organization\/no-such-model/],
])('sentvec embed reports that the model %s does not exist', async (model, names) => {
  await place.write('text.txt', 'hello\n');
  const { code, stderr } = await place.run(['embed', 'text.txt', '--model', model, '--output', 'nothing']);
  expect(stderr).toMatch(names);
  expect(code).toBe(1);
  expect(await readdir(place.directory)).not.toContain('nothing');
});
