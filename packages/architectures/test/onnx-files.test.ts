// ONNX files of strangers: what is read from them without the library, what they get as inputs, and what is refused.
import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { memoryModel, SentvecError, type TokenBatch } from '@sentvec/core';
import { GraphProtoSchema, ModelProtoSchema, TensorProto_DataLocation } from 'onnx-buf';
import { describe, expect, it } from 'vitest';
import { bytesSource, checkGraph, configuredPositions, findExternalFiles } from '@sentvec/architectures';
import { pooledOutput, tokenInputs, tokenOutput, type SessionValue } from '@sentvec/architectures/token-values';

const positionsOf = (config: unknown): Promise<number> =>
  configuredPositions(memoryModel('model', { 'config.json': JSON.stringify(config) }));

it('configuredPositions() subtracts the positions up to the padding id for RoBERTa and similar models', async () => {
  expect(await positionsOf({ model_type: 'bert', max_position_embeddings: 512, pad_token_id: 0 })).toBe(512);
  expect(await positionsOf({ model_type: 'xlm-roberta', max_position_embeddings: 514, pad_token_id: 1 })).toBe(512);
  expect(await positionsOf({ model_type: 'mpnet', max_position_embeddings: 514 })).toBe(512);
});

it('configuredPositions() is infinite without max_position_embeddings', async () => {
  expect(await positionsOf({ model_type: 't5' })).toBe(Infinity);
  expect(await configuredPositions(memoryModel('model', {}))).toBe(Infinity);
});

it('configuredPositions() refuses a configuration that is not JSON', async () => {
  const broken = configuredPositions(memoryModel('a-model', { 'config.json': '{"max_position' }));
  await expect(broken).rejects.toSatisfy(
    (error) => SentvecError.is(error, 'invalid-model') && error.message.includes('a-model/config.json'),
  );
});

it('findExternalFiles() does not read the ONNX file when all other files have well-known names', async () => {
  const names = ['LICENSE', 'spiece.model', 'sentencepiece.bpe.model', 'vocab.txt', 'model.onnx_data'];
  const files = memoryModel('model', Object.fromEntries(names.map((name) => [name, 'x'])));
  const listed = { ...files, list: async () => [...names, 'model.onnx'] };
  expect(await findExternalFiles(listed, 'model.onnx')).toEqual([
    { location: 'model.onnx_data', path: 'model.onnx_data' },
  ]);
});

type Graph = MessageInitShape<typeof GraphProtoSchema>;
type Attribute = NonNullable<NonNullable<Graph['node']>[number]['attribute']>[number];

const modelOf = (graph: Graph): Uint8Array => toBinary(ModelProtoSchema, create(ModelProtoSchema, { graph }));

/** A node with an attribute, in a graph. */
const withAttribute = (attribute: Attribute): Graph => ({ node: [{ opType: 'If', attribute: [attribute] }] });

describe('the files of the weights of an ONNX file are found by their names', () => {
  /** A tensor with its numbers elsewhere; the entries about them in an order of their own. */
  const tensor = (location: string) => ({
    name: location,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [
      { key: 'offset', value: '0' },
      { key: 'location', value: location },
      { key: 'length', value: '4' },
    ],
  });

  it.each<[string, Graph, readonly string[]]>([
    ['initializers, each file once', { initializer: ['b', 'a', 'b'].map(tensor) }, ['a', 'b']],
    ['a constant of a node', withAttribute({ t: tensor('a') }), ['a']],
    ['constants of a node', withAttribute({ tensors: ['b', 'a'].map(tensor) }), ['a', 'b']],
    ['a branch', withAttribute({ g: { initializer: [tensor('a')] } }), ['a']],
    ['branches', withAttribute({ graphs: ['a', 'b'].map((name) => ({ initializer: [tensor(name)] })) }), ['a', 'b']],
    ['a branch of a branch', withAttribute({ g: withAttribute({ g: { initializer: [tensor('a')] } }) }), ['a']],
    ['no tensor', { initializer: [{ name: 'inside', rawData: new Uint8Array(4) }] }, []],
  ])('of %s', async (_, graph, expected) => {
    const files = memoryModel('model', { 'm/x.onnx': modelOf(graph), 'm/a': 'a', 'm/b': 'b', 'm/c': 'c', a: 'other' });
    const found = await findExternalFiles(files, 'm/x.onnx');
    expect(found).toEqual(expected.map((location) => ({ location, path: `m/${location}` })));
  });

  it('leaves it to the library to say what is wrong with a file that is none', async () => {
    const files = memoryModel('model', { 'x.onnx': Uint8Array.of(0x3a, 9, 1), 'x.onnx_data': 'x', other: 'x' });
    expect(await findExternalFiles(files, 'x.onnx')).toEqual([{ location: 'x.onnx_data', path: 'x.onnx_data' }]);
  });
});

describe('an ONNX file is looked at before the library opens it', () => {
  const errorOf = (bytes: Uint8Array): SentvecError | undefined => {
    try {
      checkGraph(bytesSource(bytes), 'a file');
    } catch (error) {
      if (SentvecError.is(error)) return error;
      throw error;
    }
    return undefined;
  };
  /** Graphs in a graph, so many levels deep. */
  const nested = (depth: number): Graph => (depth === 0 ? {} : withAttribute({ g: nested(depth - 1) }));
  /** A function for each level, of two nodes of the level below. */
  const doubling = (levels: number) =>
    toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        graph: { node: [{ opType: `f${levels}`, domain: 'own' }] },
        functions: Array.from({ length: levels }, (_, level) => ({
          name: `f${level + 1}`,
          domain: 'own',
          node: Array.from({ length: 2 }, () => ({ opType: `f${level}`, domain: 'own' })),
        })),
      }),
    );

  // Field 7 of a model is its graph, field 1 of a graph a node. 0x3a and 0x0a say so, and that a length follows.
  it.each<[string, Uint8Array, string]>([
    ['a graph that is longer than the file', Uint8Array.of(0x3a, 3, 0x0a, 0), 'longer than its message'],
    ['a node that is longer than its graph', Uint8Array.of(0x3a, 2, 0x0a, 2, 0x18, 0), 'longer than its message'],
    ['a number that does not end', new Uint8Array(20).fill(0xff), 'not terminated'],
    ['a number that the file ends in', Uint8Array.of(0x3a, 0x80), 'not terminated'],
    ['a number that goes on beyond its message', Uint8Array.of(0x3a, 1, 0x88, 0x01, 0), 'not terminated'],
    ['groups, which ONNX has not', Uint8Array.of(0x0b), 'unknown wire type'],
    ['graphs in graphs without end', modelOf(nested(33)), 'more than 32 levels deep'],
    ['functions of functions of functions', doubling(17), 'more than 100000 nodes'],
    ['a loop', modelOf({ node: [{ opType: 'Loop' }] }), 'may never end'],
    ['a loop by its full name', modelOf({ node: [{ opType: 'Loop', domain: 'ai.onnx' }] }), 'may never end'],
    ['a loop in a branch', modelOf(withAttribute({ graphs: [{}, { node: [{ opType: 'Loop' }] }] })), 'may never end'],
  ])('%s is refused', (_, bytes, message) => {
    expect(errorOf(bytes)?.message).toMatch(new RegExp(`^a file .*${message}`, 'u'));
  });

  it.each<[string, Uint8Array]>([
    ['no bytes', new Uint8Array()],
    ['numbers of four and eight bytes', Uint8Array.of(0x0d, 1, 2, 3, 4, 0x09, 1, 2, 3, 4, 5, 6, 7, 8)],
    ['graphs in graphs', modelOf(nested(32))],
    ['functions of functions', doubling(15)],
    ['an operator of another domain that is called Loop', modelOf({ node: [{ opType: 'Loop', domain: 'own' }] })],
  ])('%s is not', (_, bytes) => {
    expect(errorOf(bytes)).toBeUndefined();
  });
});

describe('the values of an ONNX file', () => {
  const value = (name: string, type: string, shape: readonly (number | string)[]): SessionValue => ({
    name,
    isTensor: true,
    type,
    shape,
  });
  const vectors = ['batch', 'length', 8];
  const batch: TokenBatch = {
    ids: Int32Array.of(2, 9, 3, 2, 3, 0),
    mask: Int32Array.of(1, 1, 1, 1, 1, 0),
    rows: 2,
    cols: 3,
  };

  it('the vectors of tokens have the best of the known names, else they are the first that has a vector for each', () => {
    const [scores, pooled] = [value('logits', 'float32', vectors), value('pooler', 'float32', ['batch', 8])];
    const outputs = (...names: string[]) => [scores, pooled, ...names.map((name) => value(name, 'float32', vectors))];
    expect(tokenOutput(outputs('x', 'output', 'last_hidden_state'))).toBe('last_hidden_state');
    expect(tokenOutput(outputs('x', 'y'))).toBe('x');
    const sequence = { name: 'last_hidden_state', isTensor: false } as const;
    expect(() => tokenOutput([scores, pooled, sequence])).toThrow('(logits, pooler, last_hidden_state)');
  });

  it('the vector of a text is known by its name, the scores of a pair by theirs', () => {
    const outputs = [value('logits', 'float32', ['batch', 1]), value('sentence_embedding', 'float32', ['batch', 8])];
    expect(pooledOutput(outputs, false)).toBe('sentence_embedding');
    expect(pooledOutput(outputs, true)).toBe('logits');
    expect(pooledOutput([value('sentence_embedding', 'float32', vectors)], false)).toBeUndefined();
  });

  it.each<[string, string, readonly (number | string)[], object]>([
    ['input_ids', 'int64', [], { dims: [2, 3], data: BigInt64Array.of(2n, 9n, 3n, 2n, 3n, 0n) }],
    ['attention_mask', 'bool', [], { dims: [2, 3], data: Uint8Array.of(1, 1, 1, 1, 1, 0) }],
    ['attention_mask', 'float32', [], { dims: [2, 3], data: Float32Array.of(1, 1, 1, 1, 1, 0) }],
    ['token_type_ids', 'int32', [], { dims: [2, 3], data: new Int32Array(6) }],
    ['position_ids', 'int32', [], { dims: [2, 3], data: Int32Array.of(0, 1, 2, 0, 1, 2) }],
    ['use_cache_branch', 'bool', [], { dims: [1], data: Uint8Array.of(0) }],
    ['past_key_values.0.key', 'float16', ['batch', 4, 'past', 16], { dims: [2, 4, 0, 16], data: new Uint16Array() }],
  ])('%s is given as %s', (name, type, shape, expected) => {
    expect(tokenInputs([value(name, type, shape)], batch)).toEqual([{ name, type, ...expected }]);
  });

  it('inputs that are not known, or of a type that is not, are refused by their names', () => {
    const inputs = (name: string, type: string) => () => tokenInputs([value(name, type, [])], batch);
    expect(inputs('pixel_values', 'float32')).toThrow('"pixel_values"');
    expect(inputs('task_id', 'int64')).toThrow('needs a task id');
    expect(inputs('attention_mask', 'float16')).toThrow('"attention_mask" has the type float16');
    expect(inputs('input_ids', 'uint8')).toThrow('"input_ids" has the type uint8');
    expect(() => tokenInputs([{ name: 'input_ids', isTensor: false }], batch)).toThrow('"input_ids"');
  });
});
