// Reads which weights an ONNX file has, without the library, which would load them all.
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** Field numbers of onnx.proto, by message. */
const model = { graph: 7 } as const;
const graph = { node: 1, initializer: 5 } as const;
const node = { attribute: 5 } as const;
const attribute = { tensor: 5, graph: 6, tensors: 10, graphs: 11 } as const;
const tensor = { dataType: 2, externalData: 13 } as const;
const entry = { key: 1, value: 2 } as const;

/** `TensorProto.DataType.FLOAT16`. */
const float16 = 10;

/** Graphs in graphs: the branches of a condition, the body of a loop. */
const deepestGraph = 8;

/**
 * Whether weights of an ONNX model are 16-bit floats. Reads the headers of the weights only.
 * @throws Error when the bytes are not an ONNX model
 */
export function hasHalfPrecisionWeights(bytes: Uint8Array): boolean {
  for (const body of messages(bytes, model.graph)) {
    for (const weights of messages(body, graph.initializer)) if (dataType(weights) === float16) return true;
  }
  return false;
}

/**
 * The files that an ONNX model keeps numbers in, as it names them: relative to its own folder. They may have any names.
 * @throws Error when the bytes are not an ONNX model
 */
export function externalDataLocations(bytes: Uint8Array): string[] {
  const locations = new Set<string>();
  for (const body of messages(bytes, model.graph)) {
    for (const each of tensorsOf(body, 0)) {
      const location = externalLocation(each);
      if (location !== undefined) locations.add(location);
    }
  }
  return [...locations].sort();
}

function* tensorsOf(body: Uint8Array, depth: number): Generator<Uint8Array> {
  yield* messages(body, graph.initializer);
  for (const each of messages(body, graph.node)) {
    for (const field of messages(each, node.attribute)) {
      yield* messages(field, attribute.tensor);
      yield* messages(field, attribute.tensors);
      if (depth === deepestGraph) continue;
      for (const inner of messages(field, attribute.graph)) yield* tensorsOf(inner, depth + 1);
      for (const inner of messages(field, attribute.graphs)) yield* tensorsOf(inner, depth + 1);
    }
  }
}

function externalLocation(bytes: Uint8Array): string | undefined {
  const text = new TextDecoder();
  for (const pair of messages(bytes, tensor.externalData)) {
    const [key] = messages(pair, entry.key);
    const [value] = messages(pair, entry.value);
    if (text.decode(key) === 'location') return text.decode(value);
  }
  return undefined;
}

function* messages(bytes: Uint8Array, wanted: number): Generator<Uint8Array> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) yield reader.bytes();
    else reader.skip(type, field);
  }
}

function dataType(bytes: Uint8Array): number | undefined {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === tensor.dataType && type === WireType.Varint) return reader.int32();
    reader.skip(type, field);
  }
  return undefined;
}
