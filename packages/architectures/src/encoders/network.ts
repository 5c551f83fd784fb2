import type { Operations } from '../operations.ts';
import type { ConfigReader } from './config.ts';

/** What an encoder computes from. */
export interface EncoderInputs<Tensor> {
  /** Token ids: indices `[batch, length]`. */
  readonly ids: Tensor;
  /** 1 for a real token, 0 for padding: indices `[batch, length]`. */
  readonly mask: Tensor;
  /**
   * Which positions hold a token, counted through the batch (row · length + column): indices `[tokens]`, each once.
   * When given, only those are computed ("packed"), and the result is `[tokens, hidden]`. Default: all positions, the
   * result is `[batch, length, hidden]`.
   */
  readonly rows?: Tensor;
  /**
   * The rows of the token table that belong to the tokens, looked up already: floats `[tokens, width]`, or `[batch *
   * length, width]` without `rows`. Training gives them, to get a gradient for these rows alone instead of the whole
   * table.
   */
  readonly tokenRows?: Tensor;
  /** Applied, with a rate, wherever the architecture has dropout. Default: none, as outside of training. */
  readonly dropout?: (x: Tensor, rate: number) => Tensor;
}

/** Finds the tensor of a weight by its name. */
export type WeightLookup<Tensor> = (name: string) => Tensor;

/** An encoder of one architecture with certain sizes; its weights come from outside. */
export interface EncoderNetwork {
  /** Width of a token's vector. */
  readonly hiddenSize: number;
  /** The longest text in tokens. */
  readonly maxPositions: number;
  /** One more than the largest token id. */
  readonly vocabularySize: number;
  /** The weight whose rows belong to the token ids. */
  readonly tokenTable: string;
  /** All weights that `encode` looks up, with their shapes. */
  weights(): Iterable<readonly [name: string, shape: readonly number[]]>;
  /**
   * The last hidden state: `[batch, length, hidden]`, or `[tokens, hidden]` with `rows`. Rows at padding are arbitrary.
   */
  encode<T>(ops: Operations<T>, weight: WeightLookup<T>, inputs: EncoderInputs<T>): T;
}

/** Makes an encoder of a model's `config.json`. @throws SentvecError `invalid-model`, `unsupported-model` */
export type Architecture = (config: ConfigReader) => EncoderNetwork;

/** A weight and bias of a linear layer, as `weights()` lists them. */
export function linearWeights(name: string, inputs: number, outputs: number): [string, readonly number[]][] {
  return [
    [`${name}.weight`, [outputs, inputs]],
    [`${name}.bias`, [outputs]],
  ];
}

/** A weight and bias of a layer normalization, as `weights()` lists them. */
export function layerNormWeights(name: string, width: number): [string, readonly number[]][] {
  return [
    [`${name}.weight`, [width]],
    [`${name}.bias`, [width]],
  ];
}
