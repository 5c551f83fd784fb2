// Reads the types and files of the weights in an ONNX file without onnxruntime, which would load all weights.
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

/** The maximum depth of nested graphs, which are the branches of conditions and the bodies of loops. */
const maxGraphDepth = 8;

/**
 * Whether some weights of an ONNX model are 16-bit floats. It reads only the headers of the weights.
 * @throws Error when the bytes are not an ONNX model
 */
export function hasHalfPrecisionWeights(bytes: Uint8Array): boolean {
  for (const body of messages(bytes, model.graph)) {
    for (const weights of messages(body, graph.initializer)) if (dataType(weights) === float16) return true;
  }
  return false;
}

/**
 * The paths of the external data files of an ONNX model, relative to its folder.
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
      if (depth === maxGraphDepth) continue;
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

function* messages(bytes: Uint8Array, number: number): Generator<Uint8Array> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === number && type === WireType.LengthDelimited) yield reader.bytes();
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
