// Sparse vectors: a weight for each term of the vocabulary, computed with the masked language modeling head of an
// encoder (SPLADE: Formal et al., 2021).
import type { ActivationFunction } from '../activations.ts';
import type { Operations } from '../operations.ts';
import type { ConfigReader } from './config.ts';
import type { TransformerLayers, WeightName } from './layers.ts';

/** A masked language modeling head, which scores each term of the vocabulary at each token. */
export interface MaskedLanguageHead {
  /** Transforms the last hidden state. The scores are dot products of its rows with the rows of `vocabulary`. */
  transform<T>(layers: TransformerLayers<T>, hidden: T): T;
  /** The matrix with one row for each term, usually the embedding matrix. */
  readonly vocabulary: WeightName;
  /** The bias of the scores, one entry for each term; `undefined` for none. */
  readonly bias: WeightName | undefined;
}

/** The parts of a head: names of weights, activation and epsilon. */
interface HeadParts {
  readonly dense: string;
  /** @default true */
  readonly denseBias?: boolean | undefined;
  readonly activation: ActivationFunction;
  readonly norm: string;
  /** @default true */
  readonly normBias?: boolean | undefined;
  readonly epsilon: number;
  readonly tokenTable: WeightName;
  /** The matrix of a model whose head does not use the embedding matrix. */
  readonly decoder: WeightName;
  readonly bias: WeightName | undefined;
}

/**
 * The head of BERT and similar architectures: a dense layer, an activation, a layer normalization and the product with
 * the vocabulary.
 */
export function maskedLanguageHead(config: ConfigReader, parts: HeadParts): MaskedLanguageHead {
  const { dense, denseBias: bias, norm, normBias, activation, epsilon } = parts;
  const isTied = config.flag('tie_word_embeddings', true);
  return {
    transform(layers, hidden) {
      const width = Number(layers.ops.shape(hidden).at(-1));
      const grown = activation(layers.ops, layers.linear(dense, hidden, width, { bias }));
      return layers.layerNorm(norm, grown, epsilon, { bias: normBias });
    },
    vocabulary: isTied ? parts.tokenTable : parts.decoder,
    bias: isTied ? parts.bias : namesOfDecoder(parts.bias),
  };
}

/**
 * The names of the bias for a head that is not tied. They are listed in the order for a tied head; a head that is not
 * tied has the bias of its decoder, which is the last name.
 */
function namesOfDecoder(bias: WeightName | undefined): WeightName | undefined {
  if (bias === undefined || typeof bias === 'string') return bias;
  const [first, ...others] = bias.toReversed();
  return [first!, ...others];
}

/** How the scores of a term at all tokens of a text are combined to one weight. */
export interface TermPooling {
  readonly strategy: 'max' | 'sum';
  /** How often log(1 + x) is applied after relu. */
  readonly logarithms: 1 | 2;
}

/**
 * Reads the section `term_weights` of `config.json`; `undefined` if it is missing, that is for an encoder of dense
 * vectors. `@sentvec/core` adds this section for a sparse model, from the config of its SpladePooling module.
 * @throws SentvecError `unsupported-model`
 */
export function readTermPooling(config: ConfigReader): TermPooling | undefined {
  const section = config.section('term_weights');
  if (section === undefined) return undefined;
  section.onlySupports('pooling_strategy', 'max', 'sum');
  section.onlySupports('activation_function', 'relu', 'log1p_relu');
  return {
    strategy: section.text('pooling_strategy', 'max') === 'sum' ? 'sum' : 'max',
    logarithms: section.text('activation_function', 'relu') === 'log1p_relu' ? 2 : 1,
  };
}

/** The vocabulary matrix and bias as tensors. */
interface Vocabulary<T> {
  /** `[terms, width]` */
  readonly matrix: T;
  /** `[terms]` */
  readonly bias: T | undefined;
}

/**
 * The default number of terms that are computed together. The scores of all terms at 512 tokens would take 60 MB; a
 * block of 1 MB is pooled before the next one is computed.
 */
const defaultTermBlockSize = 512;

/**
 * The weight of each term for each text, `[batch, terms]`: log(1 + relu(scores)), pooled over all tokens of the text
 * including special tokens. The formula is that of `sentence_transformers/sparse_encoder/modules/splade_pooling.py`.
 * @param tokens `[batch, length, width]`
 * @param mask 1 for tokens, 0 for padding: indices of shape `[batch, length]`. Each text has at least one token
 */
export function termWeights<T>(
  ops: Operations<T>,
  { matrix, bias }: Vocabulary<T>,
  {
    tokens,
    mask,
    termBlockSize = defaultTermBlockSize,
  }: { readonly tokens: T; readonly mask: T; readonly termBlockSize?: number | undefined },
  { strategy, logarithms }: TermPooling,
): T {
  const [batch, length] = ops.shape(tokens);
  const terms = Number(ops.shape(matrix)[0]);
  const real = ops.toFloat(mask);
  const saturate = (scores: T): T => {
    let weights = ops.relu(scores);
    for (let n = 0; n < logarithms; n += 1) weights = ops.log(ops.add(weights, 1));
    return weights;
  };
  // Padding is replaced by the first token, which does not change the maximum. Masking the scores would take a pass
  // over all of them.
  const input =
    strategy === 'max'
      ? ops.where(ops.reshape(real, [batch!, length!, 1]), tokens, ops.slice(tokens, 1, 0, 1))
      : tokens;
  const pool = (scores: T): T =>
    strategy === 'max'
      ? ops.max(scores, [1])
      : ops.sum(ops.matmul(ops.reshape(real, [batch!, 1, length!]), saturate(scores)), [1]);
  const blocks = Array.from({ length: Math.ceil(terms / termBlockSize) }, (_, block) => {
    const start = block * termBlockSize;
    const count = Math.min(termBlockSize, terms - start);
    const part = (x: T): T => (count === terms ? x : ops.slice(x, 0, start, count));
    return pool(ops.linear(input, part(matrix), bias === undefined ? undefined : part(bias)));
  });
  const pooled = ops.concat(blocks, 1);
  // The logarithm is monotonic, so it may be applied after the maximum.
  return strategy === 'max' ? saturate(pooled) : pooled;
}
