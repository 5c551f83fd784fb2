// Encodes the parts of a graph as the bytes of an ONNX model.
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

/** The element types that are used here, with their numbers in ONNX (`TensorProto.DataType`). */
export const elementTypes = { float: 1, uint8: 2, int8: 3, int64: 7, bool: 9, float16: 10, bfloat16: 16 } as const;
export type ElementType = keyof typeof elementTypes;

/**
 * An attribute of a node: a number is an INT, a list of numbers INTS, a string a STRING, a subgraph a GRAPH. A FLOAT is
 * wrapped in an object to distinguish it from an INT.
 */
export type Attribute = number | string | readonly number[] | { readonly float: number } | { readonly graph: Subgraph };

/** A branch of a condition, or the body of a loop. It may use values of the outer graph. */
export type Subgraph = Omit<GraphParts, 'initializers'>;

/** One operator of a graph. */
export interface Node {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** Numbers in an external data file, in the folder of the model or a subfolder. */
export interface ExternalNumbers {
  readonly type: 'float' | 'float16' | 'bfloat16';
  /** The path of the file, relative to the folder of the model. */
  readonly location: string;
  /** The offset of the first byte in the file. */
  readonly offset: number;
  /** The length in bytes. */
  readonly length: number;
}

/** The numbers of a constant, row-major. A Uint16Array contains the bits of half-precision numbers. */
export type Numbers = Float32Array | BigInt64Array | Uint8Array | Int8Array | Uint16Array;

/** A named constant. */
export interface Initializer {
  readonly name: string;
  readonly data: Numbers | ExternalNumbers;
  readonly shape: readonly number[];
}

/** An input or output of a graph. Named sizes in its shape are symbolic dimensions. */
export interface GraphValue {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

/** The parts of an ONNX graph. The nodes are in topological order. */
export interface GraphParts {
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
}

const irVersion = 8n;
const opset = 17n;

/** Operators of onnxruntime that are not part of the ONNX standard. All builds of onnxruntime have them. */
const onnxruntimeOperators: ReadonlySet<string> = new Set(['MatMulIntegerToFloat', 'MultiHeadAttention']);
const onnxruntimeDomain = 'com.microsoft';

/** The field numbers of onnx.proto for fields that are encoded below without the protobuf library. */
const fields = { model: { graph: 7 }, graph: { initializer: 5 }, tensor: { rawData: 9 } } as const;

/**
 * Encodes an ONNX model, opset 17. The protobuf library encodes everything but the numbers of constants. These make up
 * most of the file, so they are inserted separately and copied only once.
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

/** A model whose large constants are in a separate file, which onnxruntime maps into memory instead of reading it. */
export interface SplitModel {
  readonly model: Uint8Array<ArrayBuffer>;
  /** The content of the separate file in pieces. They may be views of the weights: do not write to them. */
  readonly data: readonly Uint8Array[];
}

/**
 * Constants of fewer bytes stay in the model, where onnxruntime can use them in its optimizations (constant folding).
 */
const minExternalBytes = 4096;

/** Constants in the data file are aligned to pages of this size in bytes, so that they can be memory-mapped. */
const pageSize = 4096;

/**
 * Like `encodeModel`, but with the large constants in a separate file ("external data"), so that a model may be larger
 * than the 2 GiB of a protobuf message.
 * @param location the name of the data file, which must be in the folder of the model
 */
export function encodeSplitModel(parts: GraphParts, location: string): SplitModel {
  const data: Uint8Array[] = [];
  let offset = 0;
  const constants = parts.initializers.flatMap((initializer) => {
    if (isExternal(initializer.data)) return constantChunks(initializer);
    const numbers = bytesOf(initializer.data);
    if (numbers.length < minExternalBytes) return constantChunks(initializer);
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

/** Whether nodes, including those of subgraphs, use operators of onnxruntime outside the standard. */
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

/** The bytes of a constant in the graph: headers followed by its numbers, which are not copied. */
function inlineChunks({ name, shape }: Pick<Initializer, 'name' | 'shape'>, data: Numbers): Uint8Array[] {
  const dataType = elementTypes[typeOf(data)];
  const start = toBinary(TensorProtoSchema, create(TensorProtoSchema, { name, dataType, dims: shape.map(BigInt) }));
  const numbers = bytesOf(data);
  const tensor = [start, fieldHeader(fields.tensor.rawData, numbers.length), numbers];
  return [fieldHeader(fields.graph.initializer, byteLength(tensor)), ...tensor];
}

/** The bytes of a reference to a constant in an external data file. */
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
