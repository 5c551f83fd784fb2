// Checks an untrusted ONNX file before a library opens it: graphs with loops and graphs with too many nodes are
// refused. The check skips the weights, so that it does not read files of gigabytes in full.
import { SentvecError } from '@sentvec/platform';

/** Random access to the bytes of a file. */
export interface ByteSource {
  readonly size: number;
  /**
   * The bytes from `start`, inclusive, to `end`, exclusive; both are within the file. The array is valid until the next
   * call.
   */
  read(start: number, end: number): Uint8Array;
}

/** Bytes in memory as a {@link ByteSource}. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: (start, end) => bytes.subarray(start, end) };
}

/** The wire types of Protocol Buffers (https://protobuf.dev/programming-guides/encoding). */
const wireTypes = { varint: 0, eightBytes: 1, lengthDelimited: 2, fourBytes: 5 } as const;

/** Field numbers of onnx.proto, by message. */
const model = { graph: 7, functions: 25 } as const;
const graph = { node: 1 } as const;
const node = { opType: 4, attribute: 5, domain: 7 } as const;
const attribute = { graph: 6, graphs: 11 } as const;
const definition = { name: 1, node: 7, domain: 10 } as const;

/**
 * The maximum number of nodes of a model with its functions inlined. Exports of the largest encoders have about 30,000
 * nodes; onnxruntime needs half a minute to load 100,000.
 */
const maxNodes = 100_000;

/**
 * The maximum depth of nested graphs, which are the branches of conditions and the bodies of loops. protobuf itself
 * allows 100 nested messages.
 */
const maxGraphDepth = 32;

/**
 * Refuses a model with the operator `Loop`, whose execution may never end, and a model that has too many nodes when its
 * functions are inlined: nested functions can expand a small file to billions of nodes.
 * @param file the name of the file in messages
 * @throws SentvecError `unsupported-model`, `invalid-model`
 */
export function checkGraph(source: ByteSource, file: string): void {
  try {
    new GraphCheck(source).check();
  } catch (error) {
    const { message } = error as Error;
    const known = error instanceof GraphError ? error : undefined;
    const text = known ? message : `is not a valid ONNX file: ${message} Download or convert the model again.`;
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

/** A length-delimited field: its number and the offsets of its content. */
interface Field {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** The number of nodes of a graph or function, and their operators, which may be functions of the model. */
interface Nodes {
  count: number;
  readonly calls: string[];
}

class GraphCheck {
  readonly #source: ByteSource;
  readonly #functions = new Map<string, Nodes>();
  readonly #sizes = new Map<string, number>();
  /** The number of nodes that have been read, in graphs and functions. */
  #read = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  check(): void {
    const allNodes: Nodes = { count: 0, calls: [] };
    for (const field of this.#fields({ start: 0, end: this.#source.size })) {
      if (field.number === model.graph) this.#readNodes(field, graph.node, allNodes, 0);
      else if (field.number === model.functions) this.#readFunction(field);
    }
    if (this.#sizeOf(allNodes) > maxNodes) throw tooManyNodesError();
  }

  #readFunction(range: Pick<Field, 'start' | 'end'>): void {
    const nodes: Nodes = { count: 0, calls: [] };
    this.#readNodes(range, definition.node, nodes, 0);
    const names = this.#texts(range, [definition.domain, definition.name]);
    // Functions with the same name are overloads. The sum of their nodes is an upper limit for each.
    const { count, calls } = this.#functions.get(names) ?? { count: 0, calls: [] };
    this.#functions.set(names, { count: count + nodes.count, calls: [...calls, ...nodes.calls] });
  }

  #readNodes(range: Pick<Field, 'start' | 'end'>, field: number, nodes: Nodes, depth: number): void {
    if (depth > maxGraphDepth)
      throw new GraphError('invalid-model', `nests graphs more than ${maxGraphDepth} levels deep.`);
    for (const each of this.#fields(range)) {
      if (each.number !== field) continue;
      if (++this.#read > maxNodes) throw tooManyNodesError();
      const operator = this.#texts(each, [node.domain, node.opType]);
      if (loops.has(operator)) throw loopError();
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

  /** The number of nodes with functions inlined; infinite for a function that calls itself. */
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

  /**
   * The string fields of a message with these numbers, joined by colons. Missing fields and fields of more than 1000
   * bytes count as ''.
   */
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
      throw new Error('A varint is not terminated.');
    };
    while (position < end) {
      const tag = number();
      const type = tag % 8;
      if (type === wireTypes.lengthDelimited) {
        const length = number();
        if (length > end - position) throw new Error('A field is longer than its message.');
        yield { number: (tag - type) / 8, start: position, end: position + length };
        position += length;
      } else if (type === wireTypes.varint) number();
      else if (type === wireTypes.fourBytes) position += 4;
      else if (type === wireTypes.eightBytes) position += 8;
      else throw new Error('A field has an unknown wire type.');
    }
  }
}

const maxVarintBytes = 10;
const maxNameLength = 1000;
const decoder = new TextDecoder();
const loops = new Set([':Loop', 'ai.onnx:Loop']);

function tooManyNodesError(): GraphError {
  return new GraphError(
    'invalid-model',
    `has more than ${maxNodes} nodes with its functions inlined. Export a smaller model.`,
  );
}

function loopError(): GraphError {
  const message =
    'has the operator "Loop" in its graph, whose execution may never end. Export the model without loops.';
  return new GraphError('unsupported-model', message);
}
