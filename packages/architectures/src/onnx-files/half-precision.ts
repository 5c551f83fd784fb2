import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** Field numbers of onnx.proto: `ModelProto.graph`, `GraphProto.initializer`, `TensorProto.data_type`. */
const fields = { graph: 7, initializer: 5, dataType: 2 } as const;
/** `TensorProto.DataType.FLOAT16`. */
const float16 = 10;

/**
 * Whether weights of an ONNX model are 16-bit floats. Reads the headers of the weights only.
 * @throws Error when the bytes are no ONNX model
 */
export function hasHalfPrecisionWeights(model: Uint8Array): boolean {
  for (const graph of messages(model, fields.graph)) {
    for (const tensor of messages(graph, fields.initializer)) if (dataType(tensor) === float16) return true;
  }
  return false;
}

function* messages(bytes: Uint8Array, wanted: number): Generator<Uint8Array> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) yield reader.bytes();
    else reader.skip(type, field);
  }
}

function dataType(tensor: Uint8Array): number | undefined {
  const reader = new BinaryReader(tensor);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === fields.dataType && type === WireType.Varint) return reader.int32();
    reader.skip(type, field);
  }
  return undefined;
}
