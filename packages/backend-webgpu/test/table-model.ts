// A model that is a table of token vectors, as ONNX files of 32 and 16 bits.
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { goldenPath } from '@sentvec/testing';

const vocabulary = 1024;
const width = 32;

/** Numbers from 1 to 2, which floats of 16 bits hold exactly: the fraction's ten bits. */
const fractions = Uint16Array.from({ length: vocabulary * width }, (_, index) => (index * 7919) % 1024);
const floats = (): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Float32Array.from(fractions, (fraction) => 1 + fraction / 1024).buffer);
const halves = (): Uint8Array<ArrayBuffer> => new Uint8Array(fractions.map((fraction) => 0x3c00 + fraction).buffer);

/**
 * Writes the folder of a model that looks up a vector for each token and no more, as `onnx/model.onnx` and, with
 * weights of 16 bits, `onnx/model_fp16.onnx`. Its other files are those of tiny-bert.
 */
export async function writeTableModel(folder: string): Promise<void> {
  await cp(goldenPath('models/tiny-bert'), folder, { recursive: true });
  for (const file of ['model.safetensors', 'expected.json']) await rm(join(folder, file));
  await mkdir(join(folder, 'onnx'));
  await writeFile(join(folder, 'onnx/model.onnx'), encodeTable(DataType.FLOAT, floats()));
  await writeFile(join(folder, 'onnx/model_fp16.onnx'), encodeTable(DataType.FLOAT16, halves()));
}

function encodeTable(dataType: DataType, rawData: Uint8Array<ArrayBuffer>): Uint8Array {
  const graph = create(GraphProtoSchema, {
    name: 'table',
    initializer: [
      create(TensorProtoSchema, { name: 'table', dataType, dims: [BigInt(vocabulary), BigInt(width)], rawData }),
    ],
    input: [
      value('input_ids', DataType.INT64, ['rows', 'cols']),
      value('attention_mask', DataType.INT64, ['rows', 'cols']),
    ],
    node: [
      node('Gather', ['table', 'input_ids'], 'found', 'axis', 0),
      node('Cast', ['found'], 'last_hidden_state', 'to', DataType.FLOAT),
    ],
    output: [value('last_hidden_state', DataType.FLOAT, ['rows', 'cols', width])],
  });
  const model = create(ModelProtoSchema, { irVersion: 8n, opsetImport: [{ domain: '', version: 17n }], graph });
  return toBinary(ModelProtoSchema, model);
}

function node(
  operator: string,
  input: string[],
  output: string,
  attribute: string,
  number: number,
): ReturnType<typeof create<typeof NodeProtoSchema>> {
  const attributes = [create(AttributeProtoSchema, { name: attribute, type: AttributeType.INT, i: BigInt(number) })];
  return create(NodeProtoSchema, { opType: operator, name: output, input, output: [output], attribute: attributes });
}

function value(
  name: string,
  elemType: DataType,
  shape: readonly (string | number)[],
): ReturnType<typeof create<typeof ValueInfoProtoSchema>> {
  const dim = shape.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value: typeof size === 'number' ? { case: 'dimValue', value: BigInt(size) } : { case: 'dimParam', value: size },
    }),
  );
  const type = create(TypeProtoSchema, { value: { case: 'tensorType', value: { elemType, shape: { dim } } } });
  return create(ValueInfoProtoSchema, { name, type });
}
