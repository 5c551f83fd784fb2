// The interface of an encoder network, which can be executed, recorded or differentiated.
import type { Operations } from '../operations.ts';

/** The inputs of an encoder. */
export interface EncoderInputs<Tensor> {
  /** Token ids: indices of shape `[batch, length]`. */
  readonly ids: Tensor;
  /** 1 for tokens, 0 for padding: indices of shape `[batch, length]`. */
  readonly mask: Tensor;
  /**
   * The token types (0 for the first text of a pair, 1 for the second): indices of shape `[batch, length]`. Only for
   * networks with `tokenTypes`.
   * @default all 0
   */
  readonly types?: Tensor | undefined;
  /**
   * The positions without padding as distinct flat indices (row · length + column), of shape `[tokens]`. If it is set,
   * only these positions are computed (the batch is "packed"), and the result is `[tokens, hidden]`.
   * @default all positions; the result is `[batch, length, hidden]`
   */
  readonly rows?: Tensor | undefined;
  /**
   * The embeddings of the tokens, if the caller has looked them up: floats of shape `[tokens, width]`, or `[batch *
   * length, width]` without `rows`. Training sets them to get a gradient of these rows instead of the whole embedding
   * matrix.
   * @default they are looked up in the embedding matrix
   */
  readonly tokenRows?: Tensor | undefined;
  /**
   * The dropout function, which gets the rate of each dropout of the architecture.
   * @default no dropout
   */
  readonly dropout?: ((x: Tensor, rate: number) => Tensor) | undefined;
  /**
   * Called with the input of each layer, in order and in the shape of the result; the first input are the embeddings.
   * These are the `hidden_states` of transformers without the last one. Inputs that are narrower than the result are
   * left out.
   * @default not called
   */
  readonly onLayer?: ((input: Tensor) => void) | undefined;
}

/** Returns the tensor of a weight by its name. */
export type WeightLookup<Tensor> = (name: string) => Tensor;

/** The shape and the names of a weight that an encoder looks up. */
export interface WeightDeclaration {
  readonly shape: readonly number[];
  /** Other names of the weight in files, in order of preference. */
  readonly otherNames: readonly string[];
  /** Whether training does not change the weight, for example a table of sines that is stored in the file. */
  readonly fixed: boolean;
}

/** An encoder of one architecture with given sizes, without its weights. */
export interface EncoderNetwork {
  /** The length of a token's vector. */
  readonly hiddenSize: number;
  /** The maximum length of a text in tokens; `Infinity` if there is no limit. */
  readonly maxPositions: number;
  /** The number of token ids, which count from 0. */
  readonly vocabularySize: number;
  /** The name of the embedding matrix, which has one row for each token id. */
  readonly tokenTable: string;
  /** The number of token types. Networks with 0 or 1 types ignore them. */
  readonly tokenTypes: number;
  /**
   * The token id whose embedding training does not change, like `padding_idx` of PyTorch. Texts may contain this token:
   * some decoders end each text with it.
   * @default none
   */
  readonly paddingId?: number | undefined;
  /** The number of layers, which is the number of calls of `onLayer`. */
  readonly layers: number;
  /** All weights that `encode` looks up, by name, in order of use. */
  readonly weights: ReadonlyMap<string, WeightDeclaration>;
  /**
   * Computes the last hidden state: `[batch, length, hidden]`, or `[tokens, hidden]` with `rows`. The rows of padding
   * are undefined.
   */
  encode<T>(ops: Operations<T>, weight: WeightLookup<T>, inputs: EncoderInputs<T>): T;
  /**
   * For sparse models: computes the weight of each term of the vocabulary for each text, `[batch, vocabularySize]`,
   * from the result of `encode`. In a sparse model `encode` includes the masked language modeling head without its
   * product with the vocabulary.
   */
  termWeights?<T>(
    ops: Operations<T>,
    weight: WeightLookup<T>,
    inputs: {
      /** The result of `encode`, without `rows`: `[batch, length, hidden]`. */
      readonly tokens: T;
      /** 1 for tokens, 0 for padding: indices of shape `[batch, length]`. Each text has at least one token. */
      readonly mask: T;
      /**
       * The number of terms that are computed together. A larger number needs more memory and makes gradients faster.
       * @default 512
       */
      readonly termBlockSize?: number | undefined;
    },
  ): T;
}
