// An encoder as it is run, recorded or differentiated.
import type { Operations } from '../operations.ts';

/** The inputs of an encoder. */
export interface EncoderInputs<Tensor> {
  /** Token ids: indices `[batch, length]`. */
  readonly ids: Tensor;
  /** 1 for a real token, 0 for padding: indices `[batch, length]`. */
  readonly mask: Tensor;
  /**
   * The type of each token in a pair of texts: indices `[batch, length]`. Only for networks with `tokenTypes`.
   * @default all 0
   */
  readonly types?: Tensor | undefined;
  /**
   * Which positions hold a token, counted through the batch (row · length + column): indices `[tokens]`, each once.
   * When given, only these positions are computed ("packed"), and the result is `[tokens, hidden]`.
   * @default all positions; the result is `[batch, length, hidden]`
   */
  readonly rows?: Tensor | undefined;
  /**
   * The rows of the token table that belong to the tokens, looked up already: floats `[tokens, width]`, or `[batch *
   * length, width]` without `rows`. Training gives them, to get a gradient for these rows alone instead of the whole
   * table.
   */
  readonly tokenRows?: Tensor | undefined;
  /**
   * Applied, with a rate, wherever the architecture has dropout.
   * @default none, as outside of training
   */
  readonly dropout?: ((x: Tensor, rate: number) => Tensor) | undefined;
  /**
   * Gets what each layer reads, in order and in the shape of the result: first the embeddings. These are the
   * `hidden_states` of transformers without the last. What is narrower than the result is left out.
   * @default nothing listens
   */
  readonly onLayer?: ((input: Tensor) => void) | undefined;
}

/** Finds the tensor of a weight by its name. */
export type WeightLookup<Tensor> = (name: string) => Tensor;

/** A weight that an encoder looks up. */
export interface WeightDeclaration {
  readonly shape: readonly number[];
  /** Other names that files have for it, best first. */
  readonly otherNames: readonly string[];
  /** Whether training leaves the weight as it is: a table that is computed, not learned, although files hold it. */
  readonly fixed: boolean;
}

/** An encoder of one architecture with certain sizes; its weights come from outside. */
export interface EncoderNetwork {
  /** Width of a token's vector. */
  readonly hiddenSize: number;
  /** The longest text in tokens. `Infinity` when there is no limit. */
  readonly maxPositions: number;
  /** One more than the largest token id. */
  readonly vocabularySize: number;
  /** The weight whose rows belong to the token ids. */
  readonly tokenTable: string;
  /** How many types of tokens it tells apart; 1 or 0: none. */
  readonly tokenTypes: number;
  /**
   * The token whose row in the table training leaves alone, as `padding_idx` of PyTorch does. Texts may contain that
   * token: some decoders end each text with it.
   * @default none
   */
  readonly paddingId?: number | undefined;
  /** How often `encode` calls `onLayer`: its layers. */
  readonly layers: number;
  /** All weights that `encode` looks up, by name, in the order of their use. */
  readonly weights: ReadonlyMap<string, WeightDeclaration>;
  /**
   * The last hidden state: `[batch, length, hidden]`, or `[tokens, hidden]` with `rows`. Rows at padding are arbitrary.
   */
  encode<T>(ops: Operations<T>, weight: WeightLookup<T>, inputs: EncoderInputs<T>): T;
  /**
   * Of a sparse model: the weight of each term of the vocabulary for each text, `[batch, vocabularySize]`, from what
   * `encode` gives (which then ends with the head that predicts masked tokens, up to its product with the vocabulary).
   */
  termWeights?<T>(
    ops: Operations<T>,
    weight: WeightLookup<T>,
    inputs: {
      /** The result of `encode`, without `rows`: `[batch, length, hidden]`. */
      readonly tokens: T;
      /** 1 for a real token, 0 for padding: indices `[batch, length]`. The first token of each text is real. */
      readonly mask: T;
      /**
       * Terms that are scored at once: more take more memory, and a gradient is found faster.
       * @default 512
       */
      readonly termsAtOnce?: number | undefined;
    },
  ): T;
}
