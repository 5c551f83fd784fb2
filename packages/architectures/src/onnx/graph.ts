// Builds an ONNX graph of nodes, constants, inputs and outputs, which are identified by names.
import type {
  Attribute,
  ElementType,
  ExternalNumbers,
  GraphParts,
  GraphValue,
  Initializer,
  Node,
  Numbers,
  Subgraph,
} from './model.ts';
import { elementTypes, encodeModel, encodeSplitModel, type SplitModel } from './model.ts';
import type { Shape } from '../operations.ts';

/**
 * Builds an ONNX graph node by node. Values are identified by names. Equal nodes are added only once, so that a
 * gradient can use values of the forward pass without computing them again.
 */
export class OnnxGraph {
  /** The scope of the graph, followed by those of the subgraphs that are being recorded, the innermost last. */
  readonly #scopes: Scope[] = [{ nodes: [], outputsByKey: new Map() }];
  readonly #conversions: Node[] = [];
  readonly #initializers: Initializer[] = [];
  readonly #inputs: GraphValue[] = [];
  readonly #outputs: GraphValue[] = [];
  #values = 0;

  /** Adds a node, or finds an equal one, and returns the names of its outputs. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    outputs = 1,
  ): readonly string[] {
    const key = JSON.stringify([operator, inputs, attributes, outputs]);
    const outputsByKey = this.#scopes.map((scope) => scope.outputsByKey.get(key)).find((names) => names !== undefined);
    if (outputsByKey !== undefined) return outputsByKey;
    const names = Array.from({ length: outputs }, () => this.#name(operator));
    const scope = this.#scopes.at(-1)!;
    scope.nodes.push({ operator, inputs, outputs: names, attributes });
    scope.outputsByKey.set(key, names);
    return names;
  }

  /**
   * Records the subgraph of a node. It may use all values that have been recorded before.
   * @param record gets the names of the inputs, adds the nodes, and returns the output
   */
  subgraph(inputs: readonly Omit<GraphValue, 'name'>[], record: (inputs: readonly string[]) => GraphValue): Subgraph {
    const scope: Scope = { nodes: [], outputsByKey: new Map() };
    const values = inputs.map((input) => ({ ...input, name: this.#name('input') }));
    this.#scopes.push(scope);
    try {
      const result = record(values.map(({ name }) => name));
      const output = { ...result, name: this.#name('output') };
      scope.nodes.push({ operator: 'Identity', inputs: [result.name], outputs: [output.name], attributes: {} });
      return { nodes: scope.nodes, inputs: values, outputs: [output] };
    } finally {
      this.#scopes.pop();
    }
  }

  /** Adds a constant. The array is read when the model is encoded and must not change until then. */
  initializer(data: Numbers, shape: readonly number[]): string {
    const name = this.#name('constant');
    this.#initializers.push({ name, data, shape });
    return name;
  }

  /** Adds a constant whose numbers are in an external data file. */
  externalInitializer(numbers: ExternalNumbers, shape: readonly number[]): string {
    const name = this.#name('weight');
    this.#initializers.push({ name, data: numbers, shape });
    return name;
  }

  /**
   * Adds a half-precision constant that is converted to float32 in each run. It is also declared as an input, which a
   * caller could replace; therefore onnxruntime does not convert it once at load time and keep the float32 copy in
   * memory.
   */
  widenedInitializer(
    numbers: ExternalNumbers,
    shape: readonly number[],
  ): { readonly half: string; readonly float32: string } {
    const half = this.externalInitializer(numbers, shape);
    this.input(half, numbers.type, shape);
    const float32 = this.#name('Cast');
    this.#conversions.push({
      operator: 'Cast',
      inputs: [half],
      outputs: [float32],
      attributes: { to: elementTypes.float },
    });
    return { half, float32 };
  }

  /** Adds a small constant, or finds an equal one. */
  sharedInitializer(data: Numbers, shape: readonly number[]): string {
    const numbers = Array.from<number | bigint, string>(data, (entry) => (Object.is(entry, -0) ? '-0' : String(entry)));
    const key = JSON.stringify([data.constructor.name, numbers, shape]);
    const { outputsByKey } = this.#scopes[0]!;
    const [name] = outputsByKey.get(key) ?? [this.initializer(data, shape)];
    outputsByKey.set(key, [name!]);
    return name!;
  }

  input(name: string, type: ElementType, shape: Shape): string {
    if (this.#inputs.some((input) => input.name === name)) throw new Error(`The graph already has an input "${name}".`);
    this.#inputs.push({ name, type, shape });
    return name;
  }

  output(name: string, value: string, type: ElementType, shape: Shape): void {
    if (this.#outputs.some((output) => output.name === name))
      throw new Error(`The graph already has an output "${name}".`);
    this.#scopes[0]!.nodes.push({ operator: 'Identity', inputs: [value], outputs: [name], attributes: {} });
    this.#outputs.push({ name, type, shape });
  }

  /** Encodes the model: all inputs, and the nodes and constants on which the outputs depend. */
  encode(): Uint8Array<ArrayBuffer> {
    return encodeModel(this.#neededParts());
  }

  /** Encodes the model with its large constants in a separate file: see {@link encodeSplitModel}. */
  encodeSplit(location: string): SplitModel {
    return encodeSplitModel(this.#neededParts(), location);
  }

  #neededParts(): GraphParts {
    const needed = new Set(this.#outputs.map((output) => output.name));
    const nodes = neededNodes(this.#scopes[0]!.nodes, needed);
    // onnxruntime executes conversions at the start of the node list only when their results are needed, so that not
    // all of them are in memory at the same time.
    const conversions = this.#conversions.filter(({ outputs: [float32] }) => needed.has(float32!));
    for (const { inputs } of conversions) needed.add(inputs[0]!);
    return {
      nodes: [...conversions, ...moveResultsToEnd(nodes, new Set(this.#outputs.map(({ name }) => name)))],
      initializers: this.#initializers.filter(({ name }) => needed.has(name)),
      inputs: this.#inputs,
      outputs: this.#outputs,
    };
  }

  #name(hint: string): string {
    this.#values += 1;
    return `${hint}_${this.#values}`;
  }
}

/** The nodes of one graph, and the output names of each by operator, inputs and attributes. */
interface Scope {
  readonly nodes: Node[];
  readonly outputsByKey: Map<string, readonly string[]>;
}

/**
 * The nodes on which the values in `needed` depend. Their inputs, including those of subgraphs, are added to `needed`.
 */
function neededNodes(nodes: readonly Node[], needed: Set<string>): Node[] {
  const kept: Node[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) needed.add(input);
    const attributes = Object.entries(node.attributes).map(([name, value]): [string, Attribute] => {
      if (typeof value !== 'object' || !('graph' in value)) return [name, value];
      for (const output of value.graph.outputs) needed.add(output.name);
      return [name, { graph: { ...value.graph, nodes: neededNodes(value.graph.nodes, needed) } }];
    });
    kept.push({
      ...node,
      attributes: Object.fromEntries(attributes),
      outputs: trimOutputs(node.outputs, needed),
    });
  }
  return kept.toReversed();
}

/**
 * Moves nodes whose values are only outputs to the end, in reverse order. onnxruntime schedules the inputs of the last
 * node first, then those of the node before it, and so on. With this order the gradient of a weight is computed as
 * early as possible, and its inputs are freed before those of the next layer are computed.
 */
function moveResultsToEnd(nodes: readonly Node[], outputs: ReadonlySet<string>): Node[] {
  const isOutput = (node: Node): boolean => node.outputs.some((name) => outputs.has(name));
  const readElsewhere = new Set(nodes.filter((node) => !isOutput(node)).flatMap(readsOf));
  const isRead = (name: string): boolean => readElsewhere.has(name);
  const groups: [Node[], Node[], Node[], Node[]] = [[], [], [], []];
  for (const node of nodes) {
    // onnxruntime removes the Identity node of an output, unless its input is also read by other nodes.
    if (isOutput(node)) groups[node.inputs.some(isRead) ? 1 : 3].push(node);
    else groups[node.outputs.some(isRead) ? 0 : 2].push(node);
  }
  const [others, shared, results, names] = groups;
  return [...others, ...shared.toReversed(), ...results.toReversed(), ...names.toReversed()];
}

/** The values that a node reads, including those that its subgraphs read. */
function readsOf({ inputs, attributes }: Node): string[] {
  const within = Object.values(attributes).flatMap((value) =>
    typeof value === 'object' && 'graph' in value ? value.graph.nodes.flatMap(readsOf) : [],
  );
  return [...inputs, ...within];
}

/**
 * The outputs without unneeded ones at the end. Unneeded outputs before a needed one are kept, because the position of
 * an output matters.
 */
function trimOutputs(outputs: readonly string[], needed: ReadonlySet<string>): readonly string[] {
  return outputs.slice(0, outputs.findLastIndex((output) => needed.has(output)) + 1);
}
