// Parses the header of a safetensors file, and validates it against the size of the file.
import { SentvecError } from '../errors.ts';
import { isObject, parseJson } from '../model-folder/json.ts';
import type { FileParts } from '../types.ts';

/** Number of bits of each number type of the format (`safetensors/src/tensor.rs`). */
const bitsOfType = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** The name of a number type in a safetensors file. */
export type TensorType = keyof typeof bitsOfType;

/** One tensor of a file: `begin` and `end` are offsets into the file, checked against its size. */
export interface TensorEntry {
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** Maximum size of the header in bytes, as in the reference implementation. */
const maxHeaderBytes = 100_000_000;

/**
 * Reads and validates the header of a safetensors file of `size` bytes: every tensor is inside of the file, has the
 * size that its shape and type require, and does not overlap another one, and every byte belongs to a tensor. Memory is
 * never allocated based on unchecked numbers.
 * @throws SentvecError `invalid-model`, naming the file and the tensor
 */
export function readHeader(read: FileParts['read'], size: number, file: string): Map<string, TensorEntry> {
  if (size < 8) throw headerError(file, `has only ${size} bytes, too few for the size of its header`);
  const dataBegin = 8 + readHeaderSize(read(0, 8), size, file);
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(parseHeader(read(8, dataBegin), file))) {
    if (name !== '__metadata__') entries.set(name, readEntry(name, value, dataBegin, size, file));
  }
  checkCoverage(entries, dataBegin, size, file);
  return entries;
}

function readHeaderSize(bytes: Uint8Array, fileSize: number, file: string): number {
  const size = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (size > BigInt(fileSize - 8)) {
    throw headerError(
      file,
      `states that its header has ${size} bytes, but the file has ${fileSize}. It is truncated, or is not a safetensors file`,
    );
  }
  if (size > maxHeaderBytes)
    throw headerError(file, `states that its header has ${size} bytes; at most ${maxHeaderBytes} are allowed`);
  return Number(size);
}

function parseHeader(bytes: Uint8Array, file: string): Record<string, unknown> {
  const header = parseJson(bytes, file, `The header of ${file}`);
  if (!isObject(header)) throw headerError(file, 'has a header that is not a JSON object');
  const repeated = repeatedName(new TextDecoder().decode(bytes));
  if (repeated !== undefined)
    throw headerError(file, `names ${quote(repeated)} twice in its header`, { tensor: repeated });
  return header;
}

/**
 * A name that occurs twice in a JSON object. `JSON.parse` silently keeps the last one, while other readers may keep the
 * first. Expects valid JSON.
 */
function repeatedName(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (const [token, name] of json.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")\s*:|"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/gu)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (name !== undefined) {
      const names = open.at(-1);
      const decoded: string = JSON.parse(name);
      if (names?.has(decoded)) return decoded;
      names?.add(decoded);
    }
  }
  return undefined;
}

function readEntry(name: string, value: unknown, dataBegin: number, fileSize: number, file: string): TensorEntry {
  const facts = { tensor: name };
  if (!isObject(value))
    throw headerError(file, `describes tensor ${quote(name)} with a value that is not an object`, facts);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(bitsOfType, dtype)) {
    throw headerError(file, `gives tensor ${quote(name)} the unknown type ${quote(dtype)}`, facts);
  }
  const type = dtype as TensorType;
  if (!isSizes(shape))
    throw headerError(file, `gives tensor ${quote(name)} a shape that is not a list of sizes`, facts);
  if (!isSizes(offsets) || offsets.length !== 2)
    throw headerError(file, `gives tensor ${quote(name)} offsets that are not two positions`, facts);
  const [begin, end] = [dataBegin + offsets[0]!, dataBegin + offsets[1]!];
  if (begin > end || end > fileSize) {
    throw headerError(
      file,
      `puts tensor ${quote(name)} at bytes ${begin} to ${end} of a file of ${fileSize}. The file is truncated, or its header is wrong`,
      facts,
    );
  }
  const bits = shape.reduce((product, size) => product * size, 1) * bitsOfType[type];
  if (bits !== (end - begin) * 8) {
    throw headerError(
      file,
      `states that tensor ${quote(name)} is ${type} ${quote(shape)}, which does not fit ${end - begin} bytes`,
      facts,
    );
  }
  return { type, shape, begin, end };
}

function checkCoverage(entries: Map<string, TensorEntry>, dataBegin: number, fileSize: number, file: string): void {
  let covered = dataBegin;
  const inOrder = [...entries].toSorted(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  for (const [name, { begin, end }] of inOrder) {
    if (begin < covered)
      throw headerError(file, `puts tensor ${quote(name)} over the bytes of another tensor`, { tensor: name });
    if (begin > covered)
      throw headerError(file, `has ${begin - covered} bytes before tensor ${quote(name)} that belong to no tensor`, {
        tensor: name,
      });
    covered = end;
  }
  if (covered !== fileSize)
    throw headerError(file, `has ${fileSize - covered} bytes at its end that belong to no tensor`);
}

/** Formats a value of the file for a message: quoted and limited in length, since the file may contain anything. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function headerError(file: string, what: string, facts: { tensor?: string } = {}): SentvecError {
  return new SentvecError('invalid-model', `${file} ${what}. Download or convert the model again.`, {
    file,
    ...facts,
  });
}
