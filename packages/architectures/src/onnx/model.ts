import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  type TypeProto,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import type { Shape } from '../operations.ts';

/** ONNX's numbers for the types of tensor that occur here (`TensorProto.DataType`). */
export const elementTypes = { float: 1, int64: 7, bool: 9 } as const;
export type ElementType = keyof typeof elementTypes;

/** A node's attribute: whole numbers are INT, lists of them INTS, text STRING; a float is wrapped to tell it apart. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** One operator of a graph. An output named '' is not wanted. */
export interface Node {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A named constant. */
export interface Initializer {
  readonly name: string;
  readonly data: Float32Array | BigInt64Array;
  readonly shape: readonly number[];
}

/** An input or output of a graph. Named sizes in its shape become symbolic dimensions. */
export interface GraphValue {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

/** The parts of an ONNX graph, nodes in an order in which they can be computed. */
export interface GraphParts {
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
}

const irVersion = 8n;
const opset = 17n;

/** Field numbers of onnx.proto that are written by hand below. */
const fields = { model: { graph: 7 }, graph: { initializer: 5 }, tensor: { rawData: 9 } } as const;

/**
 * The bytes of an ONNX model, opset 17. Everything but the constants is encoded by the protobuf library; these are spliced
 * into its output, each copied once, because they are nearly all of the file.
 */
export function encodeModel({ nodes, initializers, inputs, outputs }: GraphParts): Uint8Array<ArrayBuffer> {
  const graph = create(GraphProtoSchema, {
    name: 'sentvec',
    node: nodes.map(encodeNode),
    input: inputs.map(encodeValue),
    output: outputs.map(encodeValue),
  });
  const model = create(ModelProtoSchema, { irVersion, producerName: 'sentvec', opsetImport: [{ domain: '', version: opset }] });
  const constants = initializers.flatMap(initializerChunks);
  const graphChunks = [toBinary(GraphProtoSchema, graph), ...constants];
  return join([toBinary(ModelProtoSchema, model), fieldHeader(fields.model.graph, byteLength(graphChunks)), ...graphChunks]);
}

function encodeNode({ operator, inputs, outputs, attributes }: Node): ReturnType<typeof create<typeof NodeProtoSchema>> {
  return create(NodeProtoSchema, {
    opType: operator,
    name: outputs.find((output) => output !== '') ?? operator,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([name, value]) => encodeAttribute(name, value)),
  });
}

function encodeAttribute(name: string, value: Attribute): ReturnType<typeof create<typeof AttributeProtoSchema>> {
  if (typeof value === 'number') return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  if (typeof value === 'string')
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  if ('float' in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

function encodeValue({ name, type, shape }: GraphValue): ReturnType<typeof create<typeof ValueInfoProtoSchema>> {
  return create(ValueInfoProtoSchema, { name, type: encodeType(type, shape) });
}

function encodeType(type: ElementType, shape: Shape): TypeProto {
  const dim = shape.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value: typeof size === 'number' ? { case: 'dimValue', value: BigInt(size) } : { case: 'dimParam', value: size },
    }),
  );
  return create(TypeProtoSchema, { value: { case: 'tensorType', value: { elemType: elementTypes[type], shape: { dim } } } });
}

/** A constant as it stands in the graph: headers, then its numbers where they lie in memory. */
function initializerChunks({ name, data, shape }: Initializer): Uint8Array[] {
  const dataType = data instanceof Float32Array ? elementTypes.float : elementTypes.int64;
  const start = toBinary(TensorProtoSchema, create(TensorProtoSchema, { name, dataType, dims: shape.map(BigInt) }));
  const numbers = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const tensor = [start, fieldHeader(fields.tensor.rawData, numbers.length), numbers];
  return [fieldHeader(fields.graph.initializer, byteLength(tensor)), ...tensor];
}

function fieldHeader(field: number, length: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish();
}

function byteLength(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

function join(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(byteLength(chunks));
  let offset = 0;
  for (const chunk of chunks) {
    result.set(chunk, offset);
    offset += chunk.length;
  }
  return result;
}
