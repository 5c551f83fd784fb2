import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import {
  encoderNetwork,
  OnnxRecorder,
  plainIndices,
  plainTensor,
  productOf,
  readEncoder,
  recordEncoder,
  recordSplitEncoder,
  sumOf,
  Tape,
} from '@sentvec/architectures';
import { type Config, randomModel, randomWeights, tinyConfigs } from './models.ts';
import { runOnnx } from './onnx-session.ts';

describe('the ONNX recorder', () => {
  it('writes the nodes of gradients in reverse order at the end, so that onnxruntime computes the first gradients first', () => {
    const recorder = new OnnxRecorder();
    const tape = new Tape(recorder.operations);
    const x = tape.parameter(recorder.input('x', 'float', ['rows', 4]));
    const weights = ['first', 'second', 'third'].map((name) => tape.parameter(recorder.input(name, 'float', [4, 4])));
    const ops = tape.operations;
    const result = weights.reduce((rows, weight) => ops.tanh(ops.linear(rows, weight)), x);
    const found = tape.gradients(result, [...weights, x]);
    for (const [index, name] of ['first', 'second', 'third', 'x'].entries()) recorder.output(name + "'", found[index]!);
    const { node } = fromBinary(ModelProtoSchema, recorder.encode()).graph!;
    const outputs = new Map(node.slice(-4).map(({ input, output }) => [output[0], input[0]]));
    const writtenAt = ["first'", "x'", "second'", "third'"].map((name) =>
      node.findIndex(({ output }) => output[0] === outputs.get(name)),
    );
    expect(writtenAt).toEqual([4, 3, 2, 1].map((place) => node.length - 4 - place));
  });

  it('computes dynamic sizes from the shapes of its inputs', async () => {
    const recorder = new OnnxRecorder();
    const { operations: ops } = recorder;
    const x = recorder.input('x', 'float', ['rows', 'cols']);
    const y = recorder.input('y', 'float', ['others', 'cols']);
    const both = ops.concat([x, y], 0);
    expect(ops.shape(both)).toEqual([sumOf(['rows', 'others']), 'cols']);
    recorder.output('count', ops.size(productOf([3, sumOf(['rows', 'others', 1]), 'cols'])));
    recorder.output('numbers', ops.range(productOf([2, 'others'])));
    recorder.output('part', ops.slice(both, 0, 'rows', 'others'));
    const feeds = { x: plainTensor([1, 2, 3, 4, 5, 6], [3, 2]), y: plainTensor([7, 8, 9, 10], [2, 2]) };
    const results = await runOnnx(recorder.encode(), feeds);
    expect(results['count']).toEqual(plainTensor([3 * 6 * 2], []));
    expect(results['numbers']).toEqual(plainIndices([0, 1, 2, 3], [4]));
    expect(results['part']).toEqual(plainTensor([7, 8, 9, 10], [2, 2]));
  });

  it('writes all inputs, and only nodes and constants on which outputs depend', () => {
    const recorder = new OnnxRecorder();
    const { operations: ops } = recorder;
    const x = recorder.input('x', 'float', ['rows', 2]);
    recorder.input('unused', 'float', [3]);
    ops.softmax(ops.linear(x, ops.constant(new Float32Array(400), [200, 2])));
    recorder.output('y', ops.tanh(x));
    const { graph } = fromBinary(ModelProtoSchema, recorder.encode());
    expect(graph!.node.map((node) => node.opType)).toEqual(['Tanh', 'Identity']);
    expect(graph!.initializer).toEqual([]);
    expect(graph!.input.map(({ name }) => name)).toEqual(['x', 'unused']);
  });

  it('writes equal nodes and equal small constants once', () => {
    const recorder = new OnnxRecorder();
    const { operations: ops } = recorder;
    const x = recorder.input('x', 'float', [2]);
    recorder.output('y', ops.add(ops.multiply(ops.exp(x), 3), ops.multiply(ops.exp(x), 3)));
    const { graph } = fromBinary(ModelProtoSchema, recorder.encode());
    expect(graph!.node.map((node) => node.opType)).toEqual(['Exp', 'Mul', 'Add', 'Identity']);
    expect(graph!.initializer).toHaveLength(1);
  });

  it.each([
    [
      'two inputs with the same name',
      (recorder: OnnxRecorder) => recorder.input('x', 'float', [2]),
      /already has an input "x"/,
    ],
    [
      'two outputs with the same name',
      (recorder: OnnxRecorder, x) => recorder.output('y', x),
      /already has an output "y"/,
    ],
    ['a size that no input has', (recorder: OnnxRecorder) => recorder.operations.range('examples'), /size "examples"/],
    [
      'shapes that do not broadcast',
      ({ operations: ops }: OnnxRecorder, x) => ops.add(x, ops.constant(new Float32Array(3), [3])),
      /\[rows\] and \[3\]/,
    ],
    ['an axis that does not exist', ({ operations: ops }: OnnxRecorder, x) => ops.sum(x, [1]), /axis 1 in \[rows\]/],
    [
      'constants that do not fill their shape',
      ({ operations: ops }: OnnxRecorder) => ops.constant(new Float32Array(3), [4]),
      /3 numbers/,
    ],
  ] as readonly (readonly [
    string,
    (recorder: OnnxRecorder, x: ReturnType<OnnxRecorder['input']>) => unknown,
    RegExp,
  ])[])('refuses %s', (_, act, message) => {
    const recorder = new OnnxRecorder();
    const x = recorder.input('x', 'float', ['rows']);
    recorder.output('y', x);
    expect(() => act(recorder, x)).toThrow(message);
  });
});

describe('a recorded encoder', () => {
  it('has operators of onnxruntime external the standard only with the option "operators"', async () => {
    const definition = await readEncoder(await randomModel(tinyConfigs['bert']!));
    // The operator is used in the branch for long texts.
    const isFused = (options?: Parameters<typeof recordEncoder>[1]) =>
      Buffer.from(recordEncoder(definition, options)).includes('MultiHeadAttention');
    expect([isFused(), isFused({ operators: 'onnxruntime' })]).toEqual([false, true]);
  });

  it('has the inputs and the output of standard exports', async () => {
    const { graph, opsetImport, irVersion } = fromBinary(
      ModelProtoSchema,
      recordEncoder(await readEncoder(await randomModel(tinyConfigs['bert']!))),
    );
    const describeValue = ({ name, type }: (typeof graph & object)['input'][number]): unknown => {
      if (type?.value.case !== 'tensorType') throw new Error(`${name} is not a tensor.`);
      const { elemType, shape } = type.value.value;
      return [name, elemType, ...shape!.dim.map(({ value }) => value.value)];
    };
    expect(graph!.input.map(describeValue)).toEqual([
      ['input_ids', 7, 'batch', 'length'],
      ['attention_mask', 7, 'batch', 'length'],
    ]);
    expect(graph!.output.map(describeValue)).toEqual([['last_hidden_state', 1, 'batch', 'length', 6n]]);
    expect(opsetImport.map(({ domain, version }) => [domain, version])).toEqual([['', 17n]]);
    expect(irVersion).toBe(8n);
  });

  it('has the same weights in a separate file', async () => {
    const definition = await readEncoder(await randomModel({ ...tinyConfigs['bert'], vocab_size: 400 }));
    const { model, data } = recordSplitEncoder(definition, 'weights.bin');
    const file = Buffer.concat(data);
    const inOneFile = fromBinary(ModelProtoSchema, recordEncoder(definition)).graph!.initializer;
    const split = fromBinary(ModelProtoSchema, model).graph!.initializer;
    expect(split.map(({ name }) => name)).toEqual(inOneFile.map(({ name }) => name));
    const external = split.filter(({ externalData }) => externalData.length > 0);
    expect(external).toHaveLength(1);
    const entries = Object.fromEntries(external[0]!.externalData.map(({ key, value }) => [key, value]));
    const [offset, length] = [Number(entries['offset']), Number(entries['length'])];
    expect(entries['location']).toBe('weights.bin');
    expect(file.subarray(offset, offset + length)).toEqual(
      Buffer.from(inOneFile.find(({ name }) => name === external[0]!.name)!.rawData),
    );
  });
});

/** Records the gradient of a function of an encoder, with dynamic sizes. */
async function recordGradients(config: Config): Promise<Uint8Array> {
  const recorder = new OnnxRecorder();
  const tape = new Tape(recorder.operations);
  const { operations: ops } = tape;
  const weights = new Map(
    [...(await randomWeights(config))].map(([name, { shape }]) => [
      name,
      tape.parameter(recorder.input(name, 'float', shape)),
    ]),
  );
  const ids = tape.fixed(recorder.input('ids', 'index', ['batch', 'length']));
  const mask = tape.fixed(recorder.input('mask', 'index', ['batch', 'length']));
  const rows = tape.fixed(recorder.input('rows', 'index', ['tokens']));
  const tokens = (await encoderNetwork(config)).encode(ops, (name) => weights.get(name)!, { ids, mask, rows });
  const loss = ops.sum(ops.multiply(tokens, tokens), [0, 1]);
  tape.gradients(loss, [...weights.values()]).forEach((gradient, i) => recorder.output(`gradient${i}`, gradient));
  return recorder.encode();
}

const python = ['python3', '/usr/bin/python3'].find(
  (command) => spawnSync(command, ['-c', 'import onnx']).status === 0,
);

describe('onnx.checker', () => {
  it.skipIf(python === undefined)(
    'accepts every encoder and gradient (skipped if Python has no onnx package)',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'sentvec-onnx-'));
      try {
        for (const [name, config] of Object.entries(tinyConfigs)) {
          await writeFile(join(folder, `${name}.onnx`), recordEncoder(await readEncoder(await randomModel(config))));
          await writeFile(join(folder, `${name}-gradients.onnx`), await recordGradients(config));
        }
        const script =
          'import glob, onnx, sys\nfor f in glob.glob(sys.argv[1] + "/*.onnx"): onnx.checker.check_model(onnx.load(f), full_check=True)';
        const { status, stderr } = spawnSync(python!, ['-c', script, folder], { encoding: 'utf8' });
        expect(stderr).toBe('');
        expect(status).toBe(0);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
});
