// An ONNX graph while it grows: nodes, constants, inputs and outputs by name.
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
 * An ONNX graph that grows node by node. Values are known by their names. Equal nodes are made once: what a gradient
 * computes again of the forward pass costs nothing.
 */
export class OnnxGraph {
  /** Of the graph, then of the graphs within nodes that are being recorded, innermost last. */
  readonly #scopes: Scope[] = [{ nodes: [], known: new Map() }];
  readonly #widenings: Node[] = [];
  readonly #initializers: Initializer[] = [];
  readonly #inputs: GraphValue[] = [];
  readonly #outputs: GraphValue[] = [];
  #values = 0;

  /** Adds a node, or finds the one that computes the same, and returns the names of its outputs. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    outputs = 1,
  ): readonly string[] {
    const key = JSON.stringify([operator, inputs, attributes, outputs]);
    const known = this.#scopes.map((scope) => scope.known.get(key)).find((names) => names !== undefined);
    if (known !== undefined) return known;
    const names = Array.from({ length: outputs }, () => this.#name(operator));
    const scope = this.#scopes.at(-1)!;
    scope.nodes.push({ operator, inputs, outputs: names, attributes });
    scope.known.set(key, names);
    return names;
  }

  /**
   * A graph within a node, which may use all values that are known by now.
   * @param record adds its nodes, from the names of its inputs, and returns its output
   */
  subgraph(inputs: readonly Omit<GraphValue, 'name'>[], record: (inputs: readonly string[]) => GraphValue): Subgraph {
    const scope: Scope = { nodes: [], known: new Map() };
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

  /** Adds a constant. The array is read when the model is encoded, and must not change until then. */
  initializer(data: Numbers, shape: readonly number[]): string {
    const name = this.#name('constant');
    this.#initializers.push({ name, data, shape });
    return name;
  }

  /** Adds a constant whose numbers are in another file. */
  externalInitializer(numbers: ExternalNumbers, shape: readonly number[]): string {
    const name = this.#name('weight');
    this.#initializers.push({ name, data: numbers, shape });
    return name;
  }

  /**
   * Adds a constant of half precision that is widened to float32 whenever it is needed. It is declared as an input too,
   * for which a caller may give another value: a constant that may change is not widened beforehand and kept.
   */
  widenedInitializer(
    numbers: ExternalNumbers,
    shape: readonly number[],
  ): { readonly half: string; readonly wide: string } {
    const half = this.externalInitializer(numbers, shape);
    this.input(half, numbers.type, shape);
    const wide = this.#name('Cast');
    this.#widenings.push({ operator: 'Cast', inputs: [half], outputs: [wide], attributes: { to: elementTypes.float } });
    return { half, wide };
  }

  /** Adds a small constant, once however often it is asked for. */
  sharedInitializer(data: Numbers, shape: readonly number[]): string {
    const numbers = Array.from<number | bigint, string>(data, (entry) => (Object.is(entry, -0) ? '-0' : String(entry)));
    const key = JSON.stringify([data.constructor.name, numbers, shape]);
    const { known } = this.#scopes[0]!;
    const [name] = known.get(key) ?? [this.initializer(data, shape)];
    known.set(key, [name!]);
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

  /** The model's bytes. Only what the outputs need is written, and all inputs. */
  encode(): Uint8Array<ArrayBuffer> {
    return encodeModel(this.#neededParts());
  }

  /** The model's bytes, its large constants apart: see {@link encodeSplitModel}. */
  encodeSplit(location: string): SplitModel {
    return encodeSplitModel(this.#neededParts(), location);
  }

  #neededParts(): GraphParts {
    const needed = new Set(this.#outputs.map((output) => output.name));
    const nodes = neededNodes(this.#scopes[0]!.nodes, needed);
    // Those that are written first are computed late, each when its result is needed: not all are held at once then.
    const widenings = this.#widenings.filter(({ outputs: [wide] }) => needed.has(wide!));
    for (const { inputs } of widenings) needed.add(inputs[0]!);
    return {
      nodes: [...widenings, ...resultsLast(nodes, new Set(this.#outputs.map(({ name }) => name)))],
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

/** Nodes of one graph, and what each of them is known to compute. */
interface Scope {
  readonly nodes: Node[];
  readonly known: Map<string, readonly string[]>;
}

/** The nodes that compute what is needed, whose inputs are added to it, those of graphs within them included. */
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
      outputs: wantedOutputs(node.outputs, needed),
    });
  }
  return kept.toReversed();
}

/**
 * The same nodes with those whose values are nothing but outputs at the end, the first of them last. onnxruntime begins
 * with what the last node needs, then with what the one before it needs, and so on: the gradient of a weight is computed as
 * soon as it can be, and what it is computed from is freed before the next layer's.
 */
function resultsLast(nodes: readonly Node[], outputs: ReadonlySet<string>): Node[] {
  const isOutput = (node: Node): boolean => node.outputs.some((name) => outputs.has(name));
  const readElsewhere = new Set(nodes.filter((node) => !isOutput(node)).flatMap(readsOf));
  const isRead = (name: string): boolean => readElsewhere.has(name);
  const groups: [Node[], Node[], Node[], Node[]] = [[], [], [], []];
  for (const node of nodes) {
    // onnxruntime leaves out the node of an output, unless its value is read elsewhere.
    if (isOutput(node)) groups[node.inputs.some(isRead) ? 1 : 3].push(node);
    else groups[node.outputs.some(isRead) ? 0 : 2].push(node);
  }
  const [others, shared, results, names] = groups;
  return [...others, ...shared.toReversed(), ...results.toReversed(), ...names.toReversed()];
}

/** The values that a node reads, those of graphs within it included. */
function readsOf({ inputs, attributes }: Node): string[] {
  const within = Object.values(attributes).flatMap((value) =>
    typeof value === 'object' && 'graph' in value ? value.graph.nodes.flatMap(readsOf) : [],
  );
  return [...inputs, ...within];
}

/** Unneeded outputs at the end are left out; the others must stay, as operators need not have them optional. */
function wantedOutputs(outputs: readonly string[], needed: ReadonlySet<string>): readonly string[] {
  return outputs.slice(0, outputs.findLastIndex((output) => needed.has(output)) + 1);
}
