// Model folders with a fault in them, the same for the same seed: what a stranger's folder may hold.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { modelFolders, type Files } from './model-folders.ts';

/** A folder with a fault. */
export interface Mutant {
  /** What was done to which model, for a person. */
  readonly title: string;
  readonly files: Files;
  /**
   * Numbers of its weights were changed. With some, what float32 gives depends on the order of additions: backends differ.
   */
  readonly hasOtherNumbers: boolean;
}

/** The mutant of a seed. */
export async function mutantOf(seed: number): Promise<Mutant> {
  const random = randomNumbers(seed);
  folders ??= modelFolders();
  const [model, original] = pick(random, [...(await folders)]);
  const files: Record<string, Uint8Array> = { ...original };
  const steps: string[] = [];
  let hasOtherNumbers = false;
  for (let count = random() < 0.85 ? 1 : 2; count > 0; count -= 1) {
    const path = pick(random, Object.keys(files));
    if (random() < 0.05) {
      delete files[path];
      steps.push(`${path} is missing`);
      continue;
    }
    const [step, content] = change(path, files[path]!, random);
    files[path] = content;
    steps.push(`${path}: ${step}`);
    hasOtherNumbers ||= path.endsWith('.safetensors') && !step.startsWith('header:');
  }
  return { title: `seed ${seed}, ${model}: ${steps.join('; ')}`.slice(0, 300), files, hasOtherNumbers };
}

let folders: ReturnType<typeof modelFolders> | undefined;

type Random = () => number;

/** Numbers from 0 to less than 1: the generator of Park and Miller, whose seed is stirred first. */
function randomNumbers(seed: number): Random {
  let state = (Math.imul(seed + 1, 0x9e3779b1) >>> 0) % 2147483646 || 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

const text = new TextDecoder();
const bytes = new TextEncoder();

/** What was done, and the changed content. */
type Change = readonly [step: string, content: Uint8Array];

function change(path: string, content: Uint8Array, random: Random): Change {
  if (path.endsWith('.safetensors')) return changeWeights(content, random);
  if (path.endsWith('.json')) return changeJson(text.decode(content), random);
  if (path.endsWith('.onnx') && random() < 0.8) return changeOnnx(content, random);
  return changeBytes(content, random);
}

function changeBytes(content: Uint8Array, random: Random): Change {
  const kind = random();
  if (kind < 0.5) return ['bytes flipped', flipped(content, 1 + Math.floor(random() * 4), random)];
  if (kind < 0.8) return ['cut short', content.slice(0, Math.floor(random() * content.length))];
  return ['bytes added', Uint8Array.from([...content, ...new Uint8Array(16)])];
}

function flipped(content: Uint8Array, count: number, random: Random, within = content.length): Uint8Array {
  const copy = content.slice();
  for (let index = 0; index < count; index += 1)
    copy[Math.floor(random() * Math.min(within, copy.length))] = Math.floor(random() * 256);
  return copy;
}

/** Values that a reader may not expect, as JSON. */
const oddJson: readonly string[] = [
  'null true false 0 -1 1 3 0.5 -0 1e999 -1e999 1e-320 2147483648 1e15 9007199254740993 [] {} [null] [[]]'.split(' '),
  ['""', '"x"', '"\\u0000"', '"\\ud800"', '"__proto__"', '"constructor"', '"/etc/passwd"', '"../../../etc/passwd"'],
  ['"C:\\\\x"', '"torch.nn.modules.activation.toString"', '{"__proto__":{"a":1}}', '{"type":null}', '{"length":5}'],
  ['{"type":"constructor"}', '['.repeat(3000) + ']'.repeat(3000), `${'{"a":'.repeat(90)}1${'}'.repeat(90)}`],
  [JSON.stringify('y'.repeat(70_000))],
].flat();
const oddNames = ['__proto__', 'constructor', 'x', ''];

function changeJson(content: string, random: Random): Change {
  const kind = random();
  if (kind < 0.1) return changeBytes(bytes.encode(content), random);
  if (kind < 0.12) return ['a byte order mark', bytes.encode(`\ufeff${content}`)];
  let root: unknown;
  try {
    root = JSON.parse(content);
  } catch {
    return changeBytes(bytes.encode(content), random);
  }
  // An earlier change may have nested it deeper than JSON.stringify reaches.
  const spots = content.includes('['.repeat(1000)) ? [] : spotsIn(root);
  if (spots.length === 0 || kind < 0.15) return ['replaced', bytes.encode(pick(random, oddJson))];
  const { parent, key, value, path } = pick(random, spots);
  const act = random();
  // A marker stands for a value that JSON.stringify could not write, until the text is made.
  const marker = `odd value ${Math.floor(random() * 1e9)}`;
  let odd = '';
  if (act < 0.15) delete parent[key];
  else if (act < 0.22) {
    Object.defineProperty(parent, pick(random, oddNames), { value, enumerable: true });
    if (!Array.isArray(parent)) delete parent[key];
  } else if (act < 0.3) parent[key] = structuredClone(pick(random, spots).value);
  else if (act < 0.42 && typeof value === 'number')
    parent[key] = pick(random, [value + 1, value - 1, value * 2, -value, value + 0.5]);
  else {
    odd = pick(random, oddJson);
    parent[key] = marker;
  }
  const changed = JSON.stringify(root).replace(`"${marker}"`, () => odd);
  return [`${path} ${odd === '' ? 'changed' : `becomes ${odd.slice(0, 30)}`}`, bytes.encode(changed)];
}

/** Something in a nested value. */
interface Spot {
  readonly parent: Record<string, unknown>;
  readonly key: string;
  readonly value: unknown;
  readonly path: string;
}

/** The places in a nested value: some of those in large objects, none beyond 20 levels. */
function spotsIn(value: unknown, path = ''): Spot[] {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || path.split('/').length > 20)
    return [];
  const keys = Object.keys(value).filter((key) => !key.startsWith('$'));
  const step = Math.max(1, Math.floor(keys.length / 60));
  return keys
    .filter((_, index) => index % step === 0)
    .flatMap((key) => {
      const parent = value as Record<string, unknown>;
      return [{ parent, key, value: parent[key], path: `${path}/${key}` }, ...spotsIn(parent[key], `${path}/${key}`)];
    });
}

const oddNumbers = [NaN, Infinity, -Infinity, 3e38, 1e20, 1e-45];

function changeWeights(content: Uint8Array, random: Random): Change {
  const headerSize = Number(new DataView(content.buffer, content.byteOffset).getBigUint64(0, true));
  const header = text.decode(content.subarray(8, 8 + headerSize));
  const data = content.slice(8 + headerSize);
  const kind = random();
  if (kind < 0.1) return ['the size of the header changed', flipped(content, 3, random, 12)];
  if (kind < 0.25) return changeBytes(content, random);
  if (kind < 0.45) {
    const value = pick(random, oddNumbers);
    const view = new DataView(data.buffer);
    // An earlier change may have cut the data within a number.
    const numbers = Math.floor(data.length / 4);
    for (let count = Math.min(numbers, pick(random, [1, 8, 200])); count > 0; count -= 1)
      view.setFloat32(4 * Math.floor(random() * numbers), value, true);
    return [`numbers become ${value}`, withHeader(header, data)];
  }
  if (kind < 0.52) return ['numbers flipped', withHeader(header, flipped(data, 50, random))];
  const [step, changed] = changeJson(header, random);
  return [`header: ${step}`, withHeader(text.decode(changed), data)];
}

function withHeader(header: string, data: Uint8Array): Uint8Array {
  const encoded = bytes.encode(header);
  const file = new Uint8Array(8 + encoded.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(encoded.length), true);
  file.set(encoded, 8);
  file.set(data, 8 + encoded.length);
  return file;
}

const oddIntegers = [0n, 1n, -1n, 2n, 3n, 7n, 2n ** 31n, 2n ** 40n, 2n ** 63n - 1n, -(2n ** 63n)];
const oddTexts = [
  '',
  'x',
  '\0',
  '../../../../etc/passwd',
  '/etc/passwd',
  'input_ids',
  'last_hidden_state',
  'If',
  'Loop',
];

/** Changes one field of the model, its graph, a node, a tensor. */
function changeOnnx(content: Uint8Array, random: Random): Change {
  const model = fromBinary(ModelProtoSchema, content);
  const { parent, key, value, path } = pick(random, spotsIn(model));
  if (Array.isArray(parent) && random() < 0.4)
    parent.splice(Number(key), pick(random, [0, 1]), ...(random() < 0.5 ? [value] : []));
  else if (Array.isArray(value)) value.length = random() < 0.5 ? 0 : Math.floor(random() * value.length);
  else if (typeof value === 'bigint') parent[key] = pick(random, oddIntegers);
  else if (typeof value === 'number') parent[key] = pick(random, [0, 1, 2, 7, 8, 9, 10, 11, 16, 200, -1]);
  else if (typeof value === 'string') parent[key] = pick(random, oddTexts);
  else if (value instanceof Uint8Array) parent[key] = changeBytes(value, random)[1];
  else if (!Array.isArray(parent)) parent[key] = undefined;
  try {
    return [`${path} changed`, toBinary(ModelProtoSchema, model)];
  } catch {
    return changeBytes(content, random);
  }
}
