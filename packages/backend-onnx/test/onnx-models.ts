import { OnnxRecorder, type SplitModel } from '@sentvec/architectures';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  type FunctionProto,
  FunctionProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';

/** Width of the vectors that {@link onnxModel} gives. */
export const width = 4;

/** What an ONNX file for a test is like. */
export interface OnnxModelOptions {
  /**
   * Inputs besides `input_ids`. Each is added to the embedding: number × 100 ^ its position, so that a test sees what it
   * was fed.
   */
  readonly inputs?: readonly string[] | undefined;
  readonly output?: string | undefined;
  /** Output a vector for each text as well, before the one for each token. */
  readonly sentenceOutput?: boolean | undefined;
  /** Ids from 0 to below this are known. */
  readonly vocabulary?: number | undefined;
}

/** An ONNX file whose embedding of token t is `[t, t, t, t]` plus what the other inputs hold. */
export function onnxModel(options: OnnxModelOptions = {}): Uint8Array<ArrayBuffer> {
  return record(options).encode();
}

/** The same with its table in a file of its own. */
export function splitOnnxModel(location: string, options: OnnxModelOptions = {}): SplitModel {
  return record({ vocabulary: 2000, ...options }).encodeSplit(location);
}

function record({
  inputs = [],
  output = 'last_hidden_state',
  sentenceOutput = false,
  vocabulary = 50,
}: OnnxModelOptions): OnnxRecorder {
  const recorder = new OnnxRecorder();
  const { operations: ops } = recorder;
  const shape = ['batch', 'length'];
  const table = ops.constant(
    Float32Array.from({ length: vocabulary * width }, (_, index) => Math.floor(index / width)),
    [vocabulary, width],
  );
  let embeddings = ops.gather(table, recorder.input('input_ids', 'index', shape));
  for (const [index, name] of inputs.entries()) {
    const numbers = ops.reshape(ops.toFloat(recorder.input(name, 'index', shape)), [...shape, 1]);
    embeddings = ops.add(embeddings, ops.multiply(numbers, 100 ** (index + 1)));
  }
  if (sentenceOutput) recorder.output('sentence_embedding', ops.max(embeddings, [1]));
  recorder.output(output, embeddings);
  return recorder;
}

/** `TensorProto.DataType`. */
const types = { float: 1, int64: 7, float16: 10 };

/** An ONNX file with something changed in its graph. */
function changed(bytes: Uint8Array, change: (graph: GraphProto) => void): Uint8Array<ArrayBuffer> {
  const model = fromBinary(ModelProtoSchema, bytes);
  change(model.graph!);
  return new Uint8Array(toBinary(ModelProtoSchema, model));
}

/** The first output in half precision. */
export function withHalfPrecision(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return changed(bytes, (graph) => {
    const [output] = graph.output;
    const name = output!.name;
    for (const node of graph.node) node.output = node.output.map((each) => (each === name ? `${name}_single` : each));
    const attribute = [{ name: 'to', i: BigInt(types.float16), type: AttributeProto_AttributeType.INT }];
    graph.node.push(create(NodeProtoSchema, { opType: 'Cast', input: [`${name}_single`], output: [name], attribute }));
    const { value } = output!.type!;
    if (value.case === 'tensorType') value.value.elemType = types.float16;
  });
}

/** With the state of a decoder as further inputs, whose sum is added to the first output: nothing, when it is empty. */
export function withPastKeyValues(bytes: Uint8Array, elemType: 'float' | 'float16'): Uint8Array<ArrayBuffer> {
  return changed(bytes, (graph) => {
    const { name } = graph.output[0]!;
    for (const node of graph.node) node.output = node.output.map((each) => (each === name ? `${name}_before` : each));
    const dim = ['batch', 2, 'past_sequence_length', 4].map((size) => ({
      value:
        typeof size === 'number'
          ? ({ case: 'dimValue', value: BigInt(size) } as const)
          : ({ case: 'dimParam', value: size } as const),
    }));
    const type = { value: { case: 'tensorType', value: { elemType: types[elemType], shape: { dim } } } } as const;
    const inputs = ['past_key_values.0.key', 'past_key_values.0.value'];
    for (const input of inputs) graph.input.push(create(ValueInfoProtoSchema, { name: input, type }));
    const noDimensions = [{ name: 'keepdims', i: 0n, type: AttributeProto_AttributeType.INT }];
    const toFloat = [{ name: 'to', i: BigInt(types.float), type: AttributeProto_AttributeType.INT }];
    graph.node.push(
      create(NodeProtoSchema, { opType: 'Add', input: inputs, output: ['past'] }),
      create(NodeProtoSchema, { opType: 'Cast', input: ['past'], output: ['past_numbers'], attribute: toFloat }),
      create(NodeProtoSchema, {
        opType: 'ReduceSum',
        input: ['past_numbers'],
        output: ['past_sum'],
        attribute: noDimensions,
      }),
      create(NodeProtoSchema, { opType: 'Add', input: [`${name}_before`, 'past_sum'], output: [name] }),
    );
  });
}

/** Adds nodes after the first output, which compute a new output from it: from `before` to `after`. */
function followed(
  bytes: Uint8Array,
  nodes: readonly NodeProto[],
  functions: readonly FunctionProto[] = [],
): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytes);
  const graph = model.graph!;
  const { name } = graph.output[0]!;
  for (const node of graph.node) node.output = node.output.map((each) => (each === name ? 'before' : each));
  for (const node of nodes) node.output = node.output.map((each) => (each === 'after' ? name : each));
  graph.node.push(...nodes);
  model.functions.push(...functions);
  if (functions.length > 0) model.irVersion = 8n;
  model.opsetImport.push(...functions.slice(0, 1).map(({ domain }) => opset(domain, 1n)));
  return toBinary(ModelProtoSchema, model);
}

const opset = (domain: string, version: bigint) => create(OperatorSetIdProtoSchema, { domain, version });

function call(opType: string, input: string, output: string, domain = ''): NodeProto {
  return create(NodeProtoSchema, { opType, input: [input], output: [output], domain });
}

/** With texts and tokens in each other's place. */
export function withTransposedOutput(bytes: Uint8Array): Uint8Array {
  const attribute = [{ name: 'perm', ints: [1n, 0n, 2n], type: AttributeProto_AttributeType.INTS }];
  const node = create(NodeProtoSchema, { opType: 'Transpose', input: ['before'], output: ['after'], attribute });
  return followed(bytes, [node]);
}

/** With an operator in so many graphs in each other. */
export function withNestedGraphs(bytes: Uint8Array, opType: string, levels: number): Uint8Array {
  let node = call(opType, 'before', 'after');
  for (let level = 0; level < levels; level += 1) {
    const g = create(GraphProtoSchema, { name: `level ${level}`, node: [node] });
    const attribute = [{ name: 'then_branch', g, type: AttributeProto_AttributeType.GRAPH }];
    node = create(NodeProtoSchema, { opType: 'If', input: ['before'], output: ['after'], attribute });
  }
  return followed(bytes, [node]);
}

/** With functions that each call the next ten times; the last calls `innermost`. */
export function withFunctions(bytes: Uint8Array, count: number, innermost: string): Uint8Array {
  const domain = 'functions';
  const functions = Array.from({ length: count }, (_, index) => {
    const next = index === count - 1 ? innermost : `f${index + 1}`;
    const node = Array.from({ length: 10 }, (__, step) => {
      const [from, to] = [step === 0 ? 'in' : `x${step}`, step === 9 ? 'out' : `x${step + 1}`];
      return call(next, from, to, next.startsWith('f') ? domain : '');
    });
    const opsetImport = [opset('', 17n), opset(domain, 1n)];
    return create(FunctionProtoSchema, {
      name: `f${index}`,
      domain,
      input: ['in'],
      output: ['out'],
      node,
      opsetImport,
    });
  });
  return followed(bytes, [call('f0', 'before', 'after', domain)], functions);
}
