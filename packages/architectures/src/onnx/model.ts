// The bytes of an ONNX model, from the parts of its graph.
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  type TypeProto,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import type { Shape } from '../operations.ts';

/** ONNX's numbers for the types of tensor that occur here (`TensorProto.DataType`). */
export const elementTypes = { float: 1, uint8: 2, int8: 3, int64: 7, bool: 9, float16: 10, bfloat16: 16 } as const;
export type ElementType = keyof typeof elementTypes;

/**
 * A node's attribute: whole numbers are INT, lists of them INTS, text STRING, a graph within the node GRAPH; a float is
 * wrapped, so that it is not taken for a whole number.
 */
export type Attribute = number | string | readonly number[] | { readonly float: number } | { readonly graph: Subgraph };

/** A branch of a condition, or the body of a loop. It may use all values that are known outside of its node. */
export type Subgraph = Omit<GraphParts, 'initializers'>;

/** One operator of a graph. */
export interface Node {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** Numbers in another file, in the folder of the model or below. */
export interface ExternalNumbers {
  readonly type: 'float' | 'float16' | 'bfloat16';
  /** Path of the file, relative to the model. */
  readonly location: string;
  /** Of the first byte in the file. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

/** Numbers of a constant, row-major. Half precision comes as the bits of its numbers. */
export type Numbers = Float32Array | BigInt64Array | Uint8Array | Int8Array | Uint16Array;

/** A named constant. */
export interface Initializer {
  readonly name: string;
  readonly data: Numbers | ExternalNumbers;
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

/** The operators that are onnxruntime's own, in every build of it, and none of the standard. */
const onnxruntimeOperators: ReadonlySet<string> = new Set(['MatMulIntegerToFloat', 'MultiHeadAttention']);
const onnxruntimeDomain = 'com.microsoft';

/** Field numbers of onnx.proto that are written by hand below. */
const fields = { model: { graph: 7 }, graph: { initializer: 5 }, tensor: { rawData: 9 } } as const;

/**
 * The bytes of an ONNX model, opset 17. Everything but the constants is encoded by the protobuf library; these are
 * spliced into its output, each copied once, because they are nearly all of the file.
 */
export function encodeModel(parts: GraphParts): Uint8Array<ArrayBuffer> {
  return join(modelChunks(parts, parts.initializers.flatMap(constantChunks)));
}

function constantChunks({ data, ...constant }: Initializer): Uint8Array[] {
  return isExternal(data) ? externalChunks(constant, data) : inlineChunks(constant, data);
}

function isExternal(data: Initializer['data']): data is ExternalNumbers {
  return 'location' in data;
}

/**
 * A model whose large constants are in a file of their own, which onnxruntime maps into memory instead of reading it.
 */
export interface SplitModel {
  readonly model: Uint8Array<ArrayBuffer>;
  /** What the other file holds, piece after piece. May be views of the weights: do not write to them. */
  readonly data: readonly Uint8Array[];
}

/** Constants of fewer bytes stay in the model, where onnxruntime can compute with them while it optimizes. */
const smallestApart = 4096;

/** Where constants begin in the data file: at pages, so that they can be mapped. */
const pageSize = 4096;

/**
 * As `encodeModel`, with the large constants apart ("external data"): a model may then have more than the 2 GiB of a
 * protobuf message.
 * @param location name of the data file, which is beside the model
 */
export function encodeSplitModel(parts: GraphParts, location: string): SplitModel {
  const data: Uint8Array[] = [];
  let offset = 0;
  const constants = parts.initializers.flatMap((initializer) => {
    if (isExternal(initializer.data)) return constantChunks(initializer);
    const numbers = bytesOf(initializer.data);
    if (numbers.length < smallestApart) return constantChunks(initializer);
    const type = typeOf(initializer.data);
    const chunks = externalChunks(initializer, { type, location, offset, length: numbers.length });
    const padding = new Uint8Array(-numbers.length & (pageSize - 1));
    data.push(numbers, padding);
    offset += numbers.length + padding.length;
    return chunks;
  });
  return { model: join(modelChunks(parts, constants)), data };
}

function modelChunks({ nodes, inputs, outputs }: GraphParts, constants: readonly Uint8Array[]): Uint8Array[] {
  const graph = encodeGraph('sentvec', { nodes, inputs, outputs });
  const model = create(ModelProtoSchema, {
    irVersion,
    producerName: 'sentvec',
    opsetImport: [
      { domain: '', version: opset },
      ...(usesOnnxruntime(nodes) ? [{ domain: onnxruntimeDomain, version: 1n }] : []),
    ],
  });
  const graphChunks = [toBinary(GraphProtoSchema, graph), ...constants];
  return [toBinary(ModelProtoSchema, model), fieldHeader(fields.model.graph, byteLength(graphChunks)), ...graphChunks];
}

function encodeGraph(name: string, { nodes, inputs, outputs }: Subgraph): GraphProto {
  return create(GraphProtoSchema, {
    name,
    node: nodes.map(encodeNode),
    input: inputs.map(encodeValue),
    output: outputs.map(encodeValue),
  });
}

/** Whether nodes, or those of graphs within them, are operators of onnxruntime's own. */
function usesOnnxruntime(nodes: readonly Node[]): boolean {
  return nodes.some(
    ({ operator, attributes }) =>
      onnxruntimeOperators.has(operator) ||
      Object.values(attributes).some(
        (value) => typeof value === 'object' && 'graph' in value && usesOnnxruntime(value.graph.nodes),
      ),
  );
}

function encodeNode({
  operator,
  inputs,
  outputs,
  attributes,
}: Node): ReturnType<typeof create<typeof NodeProtoSchema>> {
  return create(NodeProtoSchema, {
    opType: operator,
    domain: onnxruntimeOperators.has(operator) ? onnxruntimeDomain : '',
    name: outputs[0] ?? operator,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([name, value]) => encodeAttribute(name, value)),
  });
}

function encodeAttribute(name: string, value: Attribute): ReturnType<typeof create<typeof AttributeProtoSchema>> {
  if (typeof value === 'number')
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  if (typeof value === 'string')
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  if ('float' in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  if ('graph' in value)
    return create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: encodeGraph(name, value.graph) });
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
  return create(TypeProtoSchema, {
    value: { case: 'tensorType', value: { elemType: elementTypes[type], shape: { dim } } },
  });
}

/** The bytes of a constant within the graph: headers, then its numbers, which are not copied. */
function inlineChunks({ name, shape }: Pick<Initializer, 'name' | 'shape'>, data: Numbers): Uint8Array[] {
  const dataType = elementTypes[typeOf(data)];
  const start = toBinary(TensorProtoSchema, create(TensorProtoSchema, { name, dataType, dims: shape.map(BigInt) }));
  const numbers = bytesOf(data);
  const tensor = [start, fieldHeader(fields.tensor.rawData, numbers.length), numbers];
  return [fieldHeader(fields.graph.initializer, byteLength(tensor)), ...tensor];
}

/** The bytes that refer to a constant in another file. */
function externalChunks(
  { name, shape }: Pick<Initializer, 'name' | 'shape'>,
  { type, ...location }: Omit<ExternalNumbers, 'type'> & { readonly type: ElementType },
): Uint8Array[] {
  const proto = create(TensorProtoSchema, {
    name,
    dataType: elementTypes[type],
    dims: shape.map(BigInt),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(location).map(([key, value]) => ({ key, value: String(value) })),
  });
  const tensor = toBinary(TensorProtoSchema, proto);
  return [fieldHeader(fields.graph.initializer, tensor.length), tensor];
}

function typeOf(data: Numbers): ElementType {
  if (data instanceof Float32Array) return 'float';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Uint16Array) return 'float16';
  return data instanceof Int8Array ? 'int8' : 'uint8';
}

function bytesOf(data: Numbers): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
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
