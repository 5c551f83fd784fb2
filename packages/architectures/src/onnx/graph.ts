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
} from './model.ts';
import { elementTypes, encodeModel, encodeSplitModel, type SplitModel } from './model.ts';
import type { Shape } from '../operations.ts';

/**
 * An ONNX graph that grows node by node. Values are known by their names. Equal nodes are made once: what a gradient
 * computes again of the forward pass costs nothing.
 */
export class OnnxGraph {
  readonly #nodes: Node[] = [];
  readonly #widenings: Node[] = [];
  readonly #initializers: Initializer[] = [];
  readonly #inputs: GraphValue[] = [];
  readonly #outputs: GraphValue[] = [];
  readonly #known = new Map<string, readonly string[]>();
  #values = 0;

  /** Adds a node, or finds the one that computes the same, and returns the names of its outputs. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    outputs = 1,
  ): readonly string[] {
    const key = JSON.stringify([operator, inputs, attributes, outputs]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const names = Array.from({ length: outputs }, () => this.#name(operator));
    this.#nodes.push({ operator, inputs, outputs: names, attributes });
    this.#known.set(key, names);
    return names;
  }

  /** Adds a constant. The array is read when the model is encoded, and must not change until then. */
  initializer(data: Numbers, shape: readonly number[]): string {
    const name = this.#name('constant');
    this.#initializers.push({ name, data, shape });
    return name;
  }

  /** Adds a constant whose numbers stand in another file. */
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
    const [name] = this.#known.get(key) ?? [this.initializer(data, shape)];
    this.#known.set(key, [name!]);
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
    this.#nodes.push({ operator: 'Identity', inputs: [value], outputs: [name], attributes: {} });
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
    const nodes: Node[] = [];
    for (const node of this.#nodes.toReversed()) {
      if (!node.outputs.some((output) => needed.has(output))) continue;
      for (const input of node.inputs) needed.add(input);
      nodes.push({ ...node, outputs: wantedOutputs(node.outputs, needed) });
    }
    // Those that are written first are computed late, each when its result is needed: not all are held at once then.
    const widenings = this.#widenings.filter(({ outputs: [wide] }) => needed.has(wide!));
    for (const { inputs } of widenings) needed.add(inputs[0]!);
    return {
      nodes: [...widenings, ...nodes.toReversed()],
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

/** Unneeded outputs at the end are left out; the others must stay, as operators need not have them optional. */
function wantedOutputs(outputs: readonly string[], needed: ReadonlySet<string>): readonly string[] {
  return outputs.slice(0, outputs.findLastIndex((output) => needed.has(output)) + 1);
}
