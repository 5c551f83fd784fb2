// DeBERTa: disentangled attention, which adds content-to-position and position-to-content scores to the content scores.
import { productOf, sumOf } from '../dimensions.ts';
import { attentionBlock } from '../derived-operations.ts';
import type { Block, Dimension } from '../operations.ts';
import type { Architecture } from './architecture.ts';
import { distances, distancesIn, pairsOfDistances } from './attention.ts';
import type { ConfigReader } from './config.ts';
import { groupedLinear } from './grouped-linear.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, type PostNormNames, postNormLayer, readBertSizes, sumOfEmbeddings } from './post-norm.ts';
import { readPositions } from './rotary.ts';

const names: PostNormNames = {
  layer: 'encoder.layer',
  query: 'attention.self.query_proj',
  key: 'attention.self.key_proj',
  value: 'attention.self.value_proj',
  attentionOutput: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
  outputNorm: 'output.LayerNorm',
};

/** The additional scores of disentangled attention: content to position (`c2p`) and position to content (`p2c`). */
const productNames = ['c2p', 'p2c'] as const;

/**
 * DeBERTa of versions 2 and 3 (He et al., 2021), like `DebertaV2Model` of transformers
 * (models/deberta_v2/modeling_deberta_v2.py). Weights have the names of transformers.
 */
export const debertaV2: Architecture = (config) => {
  const sizes = readSizes(config);
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const embeddings = embed(layers, sizes);
      const rows = sizes.relative && relativeRows(layers, sizes.relative);
      let x = embeddings;
      for (let layer = 0; layer < sizes.layers; layer += 1) {
        layers.beginLayer(x);
        x = postNormLayer(layers, `${names.layer}.${layer}`, x, sizes, names, (name, input) =>
          attend(layers, name, input, sizes, rows),
        );
        if (layer === 0 && sizes.convolution) x = convolve(layers, embeddings, x, sizes);
      }
      return x;
    },
  };
};

/** The sum of the embeddings, projected to the hidden size if it has another width, then normalized. */
function embed<T>(layers: TransformerLayers<T>, sizes: Sizes): T {
  const positions = sizes.hasPositions ? layers.rowPositions() : undefined;
  const sum = sumOfEmbeddings(layers, positions, sizes);
  const projected =
    sizes.embeddingSize === sizes.hiddenSize
      ? sum
      : layers.linear('embeddings.embed_proj', sum, sizes.hiddenSize, { bias: false });
  return layers.dropout(layers.layerNorm('embeddings.LayerNorm', projected, sizes.epsilon), sizes.dropout);
}

/** How relative positions are mapped to rows of the position embeddings. */
interface RelativeBuckets {
  /** The number of rows of the embeddings for each direction. */
  readonly span: number;
  /** The number of buckets; 0 if each distance has its own row. */
  readonly buckets: number;
  /** One more than the distance that is mapped to the last bucket (`max_position` in transformers). */
  readonly maxDistance: number;
}

/** The embeddings of relative positions and the rows in which attention looks them up. */
interface RelativeRows<T> {
  /** The embeddings, one row for each bucket and direction. */
  readonly embeddings: T;
  /** The row of each distance of a key from its query, in the order of `distances`. */
  readonly ofKeys: T;
  /** The row of each distance of a query from its key, in the same order. */
  readonly ofQueries: T;
}

function relativeRows<T>(layers: TransformerLayers<T>, relative: Relative): RelativeRows<T> {
  const { ops } = layers;
  const table = layers.weight('encoder.rel_embeddings.weight', [2 * relative.span, relative.hiddenSize]);
  const { positions } = relative;
  const rowOfDistance = layers.constant('rows of distances', [2 * positions + 1], () =>
    Float32Array.from({ length: 2 * positions + 1 }, (_, i) => relativeRow(i - positions, relative)),
  );
  // The distances of a key from its query: -length to length - 1.
  const all = distances(layers);
  const rowsOf = (x: T): T => ops.toIndex(ops.gather(rowOfDistance, ops.toIndex(ops.add(x, positions))));
  return {
    embeddings: relative.isNormalized ? layers.layerNorm('encoder.LayerNorm', table, relative.epsilon) : table,
    ofKeys: rowsOf(ops.multiply(all, -1)),
    ofQueries: rowsOf(all),
  };
}

/**
 * The row of the embeddings for a query that is `distance` positions after the key. Up to half of the buckets, each
 * distance has its own bucket; larger distances up to `maxDistance` share buckets on a logarithmic scale
 * (`make_log_bucket_position` of transformers). Every step is rounded to float32 as in transformers, because the
 * rounding decides the bucket of distances at a boundary.
 */
export function relativeRow(distance: number, { buckets, maxDistance, span }: RelativeBuckets): number {
  const { fround, log } = Math;
  const half = buckets >> 1;
  const size = Math.abs(distance);
  const bucket = (): number => {
    const share = fround(fround(log(fround(size / half))) / fround(log(fround((maxDistance - 1) / half))));
    return Math.sign(distance) * (Math.ceil(fround(share * (half - 1))) + half);
  };
  const position = buckets === 0 || size <= half ? distance : bucket();
  return Math.min(Math.max(position + span, 0), 2 * span - 1);
}

function attend<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  { attention, hiddenSize, dropout, relative }: Sizes,
  rows: RelativeRows<T> | undefined,
): T {
  const { ops, batch, length } = layers;
  const { heads, headSize, scale } = attention;
  const linear = (name: string, input: T): T => layers.linear(`${layer}.${name}`, input, hiddenSize);
  const [queries, keys, values] = [names.query, names.key, names.value].map((name) => linear(name, x)) as [T, T, T];
  if (rows === undefined || relative === undefined || relative.products.size === 0)
    return layers.attention(queries, keys, values, attention);
  const embeddings = layers.dropout(rows.embeddings, dropout);
  /** The projected embeddings of all distances: `[heads, 2 · length, headSize]`. */
  const positionsOf = (projection: string, row: T): T => {
    const positions = ops.gather(linear(projection, embeddings), row);
    return ops.transpose(ops.reshape(positions, [productOf([2, length]), heads, headSize]), [1, 0, 2]);
  };
  /** The scores of a block of tokens with relative positions: `[batch, heads, block.size, block.length]`. */
  const scoresOf = (tokens: T, positions: T, block: Block): T => {
    const needed = distancesIn(layers, positions, 1, block);
    const count = ops.shape(needed)[1]!;
    const repeated = ops.broadcastTo(needed, [batch, heads, count, headSize]);
    const all = ops.matmul(ops.slice(tokens, 2, block.start, block.size), repeated, { transposeRight: true });
    const pairs = pairsOfDistances(ops, ops.reshape(all, [productOf([batch, heads]), block.size, count]), block);
    return ops.reshape(pairs, [batch, heads, block.size, block.length]);
  };
  const byHead = {
    queries: layers.splitHeads(queries, heads, headSize),
    keys: layers.splitHeads(keys, heads, headSize),
  };
  const { sharesProjections } = relative;
  const scorers = [...relative.products].map((product) => {
    if (product === 'c2p') {
      const positions = positionsOf(sharesProjections ? names.key : 'attention.self.pos_key_proj', rows.ofKeys);
      return (block: Block): T => scoresOf(byHead.queries, positions, block);
    }
    const positions = positionsOf(sharesProjections ? names.query : 'attention.self.pos_query_proj', rows.ofQueries);
    return (block: Block): T => {
      // Here keys and queries change places: the scores of all keys with the queries of the block, computed in blocks
      // of keys.
      const ofKeys = (start: Dimension, size: Dimension): T =>
        scoresOf(byHead.keys, positions, { start, size, from: block.start, length: block.size });
      const scores =
        block.size === length
          ? ofKeys(0, length)
          : ops.inBlocks(length, { size: attentionBlock }, 2, ({ start, size }) => ofKeys(start, size));
      return ops.transpose(scores, [0, 1, 3, 2]);
    };
  });
  const bias = (block: Block): T => {
    const scores = scorers.map((score) => score(block));
    return ops.multiply(
      scores.reduce((a, b) => ops.add(a, b)),
      scale,
    );
  };
  return layers.attention(queries, keys, values, attention, { bias });
}

/** Adds a convolution of the first layer's input over neighbouring tokens to the first layer's output. */
function convolve<T>(layers: TransformerLayers<T>, input: T, output: T, sizes: Sizes): T {
  const { ops } = layers;
  const { hiddenSize } = sizes;
  const { kernel, groups, activation } = sizes.convolution!;
  const width = hiddenSize / groups;
  // For each group of channels the neighbours one after the other, in the order of the weight with swapped kernel and
  // channel axes.
  const neighbours = neighbourhoods(layers, input, kernel);
  const [rows] = ops.shape(neighbours);
  const byGroup = ops.transpose(ops.reshape(neighbours, [rows!, kernel, groups, width]), [0, 2, 1, 3]);
  const weight = layers.weight('encoder.conv.conv.weight', [hiddenSize, width, kernel]);
  const matrix = ops.reshape(ops.transpose(weight, [0, 2, 1]), [hiddenSize, kernel * width]);
  const bias = layers.weight('encoder.conv.conv.bias', [hiddenSize]);
  const mixed = groupedLinear(ops, ops.reshape(byGroup, [rows!, kernel * hiddenSize]), matrix, bias, groups);
  const active = activation(ops, layers.dropout(mixed, sizes.dropout));
  return layers.layerNorm('encoder.conv.LayerNorm', ops.add(output, active), sizes.epsilon);
}

/** The rows of the `size` tokens around each token: `[rows, size, width]`. Rows outside the text are 0. */
function neighbourhoods<T>(layers: TransformerLayers<T>, rows: T, size: number): T {
  const { ops, batch, length } = layers;
  const texts = ops.multiply(layers.positions(rows), ops.reshape(layers.mask(), [batch, length, 1]));
  const padded = ops.pad(texts, 1, (size - 1) / 2, sumOf([length, size - 1]));
  const shifted = Array.from({ length: size }, (_, shift) => {
    const neighbours = layers.rows(ops.slice(padded, 1, shift, length));
    const [count, width] = ops.shape(neighbours);
    return ops.reshape(neighbours, [count!, 1, width!]);
  });
  return ops.concat(shifted, 1);
}

type Sizes = ReturnType<typeof readSizes>;

function readSizes(config: ConfigReader) {
  const sizes = {
    ...readBertSizes(config, { tokenTypes: 0 }),
    epsilon: config.epsilon('layer_norm_eps', 1e-7),
  };
  const { hiddenSize, attention } = sizes;
  config.onlySupports('attention_head_size', attention.headSize);
  const products = new Set(config.parts('pos_att_type', '|', productNames));
  return {
    ...sizes,
    embeddingSize: config.integer('embedding_size', { fallback: hiddenSize }),
    hasPositions: config.flag('position_biased_input', true),
    // The scale depends on the number of summed scores (`scale_factor` in transformers).
    attention: { ...attention, scale: 1 / Math.sqrt(attention.headSize * (1 + products.size)) },
    relative: config.flag('relative_attention', false)
      ? readRelative(config, hiddenSize, sizes.epsilon, products)
      : undefined,
    convolution: readConvolution(config, hiddenSize),
  };
}

type Relative = ReturnType<typeof readRelative>;

function readRelative(
  config: ConfigReader,
  hiddenSize: number,
  epsilon: number,
  products: ReadonlySet<(typeof productNames)[number]>,
) {
  const positions = readPositions(config);
  const buckets = config.integer('position_buckets', { fallback: -1, smallest: -1, largest: 2 * positions });
  const given = config.integer('max_relative_positions', { fallback: -1, smallest: -1 });
  const maxDistance = given < 1 ? positions : given;
  const half = buckets >> 1;
  if (buckets === 1 || (buckets > 0 && maxDistance === half + 1 && positions > maxDistance))
    throw config.unsupported(
      'position_buckets',
      buckets,
      `Distances up to ${maxDistance} cannot be divided among that many buckets.`,
    );
  return {
    products,
    hiddenSize,
    epsilon,
    span: buckets > 0 ? buckets : maxDistance,
    buckets: Math.max(buckets, 0),
    maxDistance,
    positions,
    isNormalized: config.parts('norm_rel_ebd', '|', ['none', 'layer_norm'])?.includes('layer_norm') ?? false,
    sharesProjections: config.flag('share_att_key', false),
  };
}

function readConvolution(config: ConfigReader, hiddenSize: number) {
  const kernel = config.integer('conv_kernel_size', { fallback: 0, smallest: 0, largest: 1023 });
  if (kernel === 0) return undefined;
  const groups = config.integer('conv_groups', { fallback: 1 });
  if (kernel % 2 === 0) throw config.unsupported('conv_kernel_size', kernel, 'It must be odd.');
  if (hiddenSize % groups !== 0)
    throw config.unsupported('conv_groups', groups, `${hiddenSize} channels cannot be divided into that many groups.`);
  return { kernel, groups, activation: config.activation('conv_act', 'tanh') };
}
