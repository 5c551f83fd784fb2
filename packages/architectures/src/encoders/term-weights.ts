// The sparse vector of a text: a weight for each term of the vocabulary, by the head with which an encoder was trained
// to predict masked tokens (SPLADE: Formal et al., 2021).
import type { ActivationFunction } from '../activations.ts';
import type { Operations } from '../operations.ts';
import type { ConfigReader } from './config.ts';
import type { TransformerLayers, WeightName } from './layers.ts';

/** The head of an encoder that predicts masked tokens: it scores each term of the vocabulary at each token. */
export interface MaskedLanguageHead {
  /** What the rows of `vocabulary` are compared with, from the last hidden state: a row for each token. */
  transform<T>(layers: TransformerLayers<T>, hidden: T): T;
  /** A row for each term. Usually it is the token table. */
  readonly vocabulary: WeightName;
  /** Added to the scores of each term; `undefined` for none. */
  readonly bias: WeightName | undefined;
}

/** The parts of a head, by their names in the model's file. */
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
  /** The matrix of a model that does not use its token table. */
  readonly decoder: WeightName;
  readonly bias: WeightName | undefined;
}

/** A dense layer, an activation and a layer normalization, and then the vocabulary: so are the heads of all BERTs. */
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
    bias: isTied ? parts.bias : ofDecoder(parts.bias),
  };
}

/**
 * The names of a bias are listed for a tied head. A head that is not tied has the bias of its decoder, the last name.
 */
function ofDecoder(bias: WeightName | undefined): WeightName | undefined {
  if (bias === undefined || typeof bias === 'string') return bias;
  const [first, ...others] = bias.toReversed();
  return [first!, ...others];
}

/** How the scores of a text's tokens become one weight for each term. */
export interface TermPooling {
  readonly strategy: 'max' | 'sum';
  /** How often log(1 + x) is applied to what relu leaves. */
  readonly logarithms: 1 | 2;
}

/**
 * What `config.json` says of term weights; `undefined` when nothing: then the model is an encoder alone. Core writes
 * the section into the configuration of a sparse model, by the config of its SpladePooling.
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

/** The vocabulary as tensors. */
interface Vocabulary<T> {
  /** `[terms, width]` */
  readonly matrix: T;
  /** `[terms]` */
  readonly bias: T | undefined;
}

/**
 * Terms that are scored at once. Scores of all terms at all tokens of a batch, 60 MB for 512 tokens, never exist: a
 * block of 1 MB is pooled before the next is computed.
 */
const usualTermsAtOnce = 512;

/**
 * A weight for each term and text, `[batch, terms]`: log(1 + relu(scores)), pooled over the tokens of the text, special
 * ones included. Follows `sentence_transformers/sparse_encoder/modules/splade_pooling.py`.
 * @param tokens `[batch, length, width]`
 * @param mask 1 for a real token, 0 for padding: indices `[batch, length]`. The first token of a text is real
 */
export function termWeights<T>(
  ops: Operations<T>,
  { matrix, bias }: Vocabulary<T>,
  {
    tokens,
    mask,
    termsAtOnce = usualTermsAtOnce,
  }: { readonly tokens: T; readonly mask: T; readonly termsAtOnce?: number | undefined },
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
  // Padding repeats the first token, which leaves each maximum as it is: no pass over the scores is needed to hide it.
  const input =
    strategy === 'max'
      ? ops.where(ops.reshape(real, [batch!, length!, 1]), tokens, ops.slice(tokens, 1, 0, 1))
      : tokens;
  const pool = (scores: T): T =>
    strategy === 'max'
      ? ops.max(scores, [1])
      : ops.sum(ops.matmul(ops.reshape(real, [batch!, 1, length!]), saturate(scores)), [1]);
  const blocks = Array.from({ length: Math.ceil(terms / termsAtOnce) }, (_, block) => {
    const start = block * termsAtOnce;
    const count = Math.min(termsAtOnce, terms - start);
    const part = (x: T): T => (count === terms ? x : ops.slice(x, 0, start, count));
    return pool(ops.linear(input, part(matrix), bias === undefined ? undefined : part(bias)));
  });
  const pooled = ops.concat(blocks, 1);
  // Logarithms grow with their argument: of the maximum, they are the maximum of theirs.
  return strategy === 'max' ? saturate(pooled) : pooled;
}
