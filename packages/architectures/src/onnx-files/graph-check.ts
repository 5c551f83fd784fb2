// An ONNX file of a stranger, looked at before a library opens it: a graph that never ends, or that grows without
// bounds, is refused. Its weights are passed over, so that files of gigabytes are not read whole.
import { SentvecError } from '@sentvec/platform';

/** Bytes of a file, read in pieces. */
export interface ByteSource {
  readonly size: number;
  /** The bytes from `start` to before `end`, both inside the file. They are valid until the next call. */
  read(start: number, end: number): Uint8Array;
}

/** Bytes in memory as a {@link ByteSource}. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: (start, end) => bytes.subarray(start, end) };
}

/** How a field is written (https://protobuf.dev/programming-guides/encoding). */
const wireTypes = { varint: 0, eightBytes: 1, lengthDelimited: 2, fourBytes: 5 } as const;

/** Field numbers of onnx.proto, by message. */
const model = { graph: 7, functions: 25 } as const;
const graph = { node: 1 } as const;
const node = { opType: 4, attribute: 5, domain: 7 } as const;
const attribute = { graph: 6, graphs: 11 } as const;
const definition = { name: 1, node: 7, domain: 10 } as const;

/**
 * The most nodes of a model, with its functions written out wherever they are used. Exports of the largest encoders
 * have some 30,000; onnxruntime takes half a minute for 100,000.
 */
const maxNodes = 100_000;

/** Graphs in graphs: the branches of a condition, the body of a loop. protobuf itself stops at 100 messages. */
const deepestGraph = 32;

/**
 * Refuses a model whose run may never end (the operator `Loop` goes on as long as the file says), and one that has too
 * many nodes, counted with its functions written out: functions of functions can make billions of a few lines.
 * @param file how a person would name the file
 * @throws SentvecError `unsupported-model`, `invalid-model`
 */
export function checkGraph(source: ByteSource, file: string): void {
  try {
    new GraphCheck(source).check();
  } catch (error) {
    const { message } = error as Error;
    const known = error instanceof GraphError ? error : undefined;
    const text = known
      ? message
      : `is not an ONNX file: ${message} Is it complete? Download or convert the model again.`;
    throw new SentvecError(known?.code ?? 'invalid-model', `${file} ${text}`, { file }, { cause: error });
  }
}

class GraphError extends Error {
  readonly code: 'unsupported-model' | 'invalid-model';

  constructor(code: GraphError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** A field that holds bytes: its number, and where they are. */
interface Field {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** The nodes of a graph or function: how many, and their operators, which may be functions of the model. */
interface Nodes {
  count: number;
  readonly calls: string[];
}

class GraphCheck {
  readonly #source: ByteSource;
  readonly #functions = new Map<string, Nodes>();
  readonly #sizes = new Map<string, number>();
  /** Nodes that were read, in graphs and functions. */
  #read = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  check(): void {
    const whole: Nodes = { count: 0, calls: [] };
    for (const field of this.#fields({ start: 0, end: this.#source.size })) {
      if (field.number === model.graph) this.#readNodes(field, graph.node, whole, 0);
      else if (field.number === model.functions) this.#readFunction(field);
    }
    if (this.#sizeOf(whole) > maxNodes) throw tooLarge();
  }

  #readFunction(range: Pick<Field, 'start' | 'end'>): void {
    const nodes: Nodes = { count: 0, calls: [] };
    this.#readNodes(range, definition.node, nodes, 0);
    const names = this.#texts(range, [definition.domain, definition.name]);
    // Two functions of one name are overloads: the sum is enough of a bound.
    const { count, calls } = this.#functions.get(names) ?? { count: 0, calls: [] };
    this.#functions.set(names, { count: count + nodes.count, calls: [...calls, ...nodes.calls] });
  }

  #readNodes(range: Pick<Field, 'start' | 'end'>, field: number, nodes: Nodes, depth: number): void {
    if (depth > deepestGraph)
      throw new GraphError('invalid-model', `nests graphs more than ${deepestGraph} levels deep.`);
    for (const each of this.#fields(range)) {
      if (each.number !== field) continue;
      if (++this.#read > maxNodes) throw tooLarge();
      const operator = this.#texts(each, [node.domain, node.opType]);
      if (loops.has(operator)) throw endless();
      nodes.count += 1;
      nodes.calls.push(operator);
      for (const one of this.#fields(each)) {
        if (one.number !== node.attribute) continue;
        for (const inner of this.#fields(one))
          if (inner.number === attribute.graph || inner.number === attribute.graphs)
            this.#readNodes(inner, graph.node, nodes, depth + 1);
      }
    }
  }

  /** Nodes with functions written out; a function that calls itself has endless ones. */
  #sizeOf({ count, calls }: Nodes): number {
    let size = count;
    for (const name of calls) {
      const body = this.#functions.get(name);
      if (body === undefined) continue;
      let inner = this.#sizes.get(name);
      if (inner === undefined) {
        this.#sizes.set(name, Infinity);
        inner = this.#sizeOf(body);
        this.#sizes.set(name, inner);
      }
      size += inner;
    }
    return size;
  }

  /** Short texts of a message, one after the other with a colon between; '' for those that are absent. */
  #texts(range: Pick<Field, 'start' | 'end'>, numbers: readonly number[]): string {
    const texts = numbers.map(() => '');
    for (const { number, start, end } of this.#fields(range)) {
      const index = numbers.indexOf(number);
      if (index !== -1 && end - start <= maxNameLength) texts[index] = decoder.decode(this.#source.read(start, end));
    }
    return texts.join(':');
  }

  *#fields({ start, end }: Pick<Field, 'start' | 'end'>): Generator<Field> {
    let position = start;
    const number = (): number => {
      let value = 0;
      const bytes = this.#source.read(position, Math.min(position + maxVarintBytes, end));
      for (const [index, byte] of bytes.entries()) {
        value += (byte & 0x7f) * 2 ** (7 * index);
        if (byte < 0x80) {
          position += index + 1;
          return value;
        }
      }
      throw new Error('A number has no end.');
    };
    while (position < end) {
      const tag = number();
      const type = tag % 8;
      if (type === wireTypes.lengthDelimited) {
        const length = number();
        if (length > end - position) throw new Error('A field is longer than what holds it.');
        yield { number: (tag - type) / 8, start: position, end: position + length };
        position += length;
      } else if (type === wireTypes.varint) number();
      else if (type === wireTypes.fourBytes) position += 4;
      else if (type === wireTypes.eightBytes) position += 8;
      else throw new Error('It is not made of fields.');
    }
  }
}

const maxVarintBytes = 10;
const maxNameLength = 1000;
const decoder = new TextDecoder();
const loops = new Set([':Loop', 'ai.onnx:Loop']);

function tooLarge(): GraphError {
  return new GraphError('invalid-model', `has more than ${maxNodes} nodes, with its functions written out.`);
}

function endless(): GraphError {
  const message = 'has a loop in its graph, the operator "Loop", which may never end. Export the model without loops.';
  return new GraphError('unsupported-model', message);
}
