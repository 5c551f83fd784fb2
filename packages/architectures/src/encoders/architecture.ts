// The program that the file of an architecture defines, and the encoder network that is derived from it.
import { namedDimension } from '../dimensions.ts';
import type { Shape } from '../operations.ts';
import { shapeOperations } from '../shape-operations.ts';
import { sameShape } from '../shapes.ts';
import type { ConfigReader } from './config.ts';
import { TransformerLayers, type WeightName } from './layers.ts';
import type { EncoderNetwork, WeightDeclaration } from './network.ts';
import { tokenTypeTable } from './post-norm.ts';
import { type MaskedLanguageHead, type TermPooling, termWeights } from './term-weights.ts';

/**
 * The forward pass and sizes that the file of an architecture defines. `makeNetwork` derives an `EncoderNetwork` from
 * them.
 */
export interface EncoderProgram {
  /** The maximum length of a text in tokens; `Infinity` if there is no limit. */
  readonly maxPositions: number;
  /** The number of token ids, which count from 0. */
  readonly vocabularySize: number;
  /** The embedding matrix, which has one row for each token id. */
  readonly tokenTable: WeightName;
  /**
   * See {@link EncoderNetwork.tokenTypes}.
   * @default the rows of BERT's table of token types, 0 without one
   */
  readonly tokenTypes?: number | undefined;
  /** See {@link EncoderNetwork.paddingId}. */
  readonly paddingId?: number | undefined;
  /** The last hidden state: one row for each token, in the row layout of the layers (see `TransformerLayers`). */
  encode<T>(layers: TransformerLayers<T>): T;
  /**
   * The masked language modeling head, for sparse vectors; `undefined` if sentvec does not support that of the
   * architecture.
   */
  readonly maskedLanguageHead?: MaskedLanguageHead | undefined;
}

/** The tensors in the weights of a model, by their names in the architecture. */
export interface StoredTensors {
  has(name: string): boolean;
}

/**
 * Makes the program for the `config.json` of a model.
 * @param stored the tensors in the weights, for variants with the same configuration; `undefined` if the weights have
 * not been read or do not exist
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export type Architecture = (config: ConfigReader, stored?: StoredTensors) => EncoderProgram;

/**
 * Makes an encoder network from a program. The program runs once on shapes only, which gives the list of weights and
 * the hidden size.
 * @param sparse the head and the pooling for sparse vectors; `undefined` for an encoder of dense vectors
 */
export function makeNetwork(
  program: EncoderProgram,
  sparse?: { readonly head: MaskedLanguageHead; readonly pooling: TermPooling },
): EncoderNetwork {
  const { maxPositions, vocabularySize, tokenTable } = program;
  const table = { tokenTable, vocabularySize };
  const weights = new Map<string, WeightDeclaration>();
  const declare = (names: WeightName, shape: readonly number[], fixed: boolean): Shape => {
    const [name, ...otherNames] = typeof names === 'string' ? [names] : names;
    const before = weights.get(name)?.shape ?? shape;
    if (!sameShape(before, shape))
      throw new Error(`"${name}" cannot be both [${before.join()}] and [${shape.join()}].`);
    weights.set(name, { shape, otherNames, fixed });
    return shape;
  };
  const positions = [namedDimension('batch'), namedDimension('length')];
  const layerInputs: Shape[] = [];
  const traced = new TransformerLayers({
    ...table,
    ops: shapeOperations,
    inputs: { ids: positions, mask: positions, onLayer: (input) => layerInputs.push(input) },
    weight: declare,
    constant: (_, shape) => shape,
  });
  const constants = new Map<string, Float32Array>();
  const run = <T>(layers: TransformerLayers<T>): T => {
    const hidden = program.encode(layers);
    return sparse === undefined ? hidden : sparse.head.transform(layers, hidden);
  };
  const hiddenSize = Number(run(traced).at(-1));
  if (sparse !== undefined) {
    declare(sparse.head.vocabulary, [vocabularySize, hiddenSize], false);
    if (sparse.head.bias !== undefined) declare(sparse.head.bias, [vocabularySize], false);
  }
  const hasWidth = (shape: Shape): boolean => shape.at(-1) === hiddenSize;
  return {
    hiddenSize,
    layers: layerInputs.filter(hasWidth).length,
    maxPositions,
    vocabularySize,
    tokenTable: nameOf(tokenTable),
    tokenTypes: program.tokenTypes ?? weights.get(tokenTypeTable)?.shape[0] ?? 0,
    paddingId: program.paddingId,
    weights,
    encode(ops, weight, inputs) {
      const { onLayer } = inputs;
      const layers = new TransformerLayers({
        ...table,
        ops,
        inputs: {
          ...inputs,
          onLayer: onLayer && ((input) => hasWidth(ops.shape(input)) && onLayer(layers.result(input))),
        },
        weight: (names) => weight(nameOf(names)),
        constant(name, shape, compute) {
          const numbers = constants.get(name) ?? compute();
          constants.set(name, numbers);
          return ops.constant(numbers, shape);
        },
      });
      return layers.result(run(layers));
    },
    ...(sparse && {
      termWeights: (ops, weight, inputs) => {
        const { vocabulary, bias } = sparse.head;
        const matrix = weight(nameOf(vocabulary));
        return termWeights(
          ops,
          { matrix, bias: bias === undefined ? undefined : weight(nameOf(bias)) },
          inputs,
          sparse.pooling,
        );
      },
    }),
  };
}

function nameOf(names: WeightName): string {
  return typeof names === 'string' ? names : names[0];
}
