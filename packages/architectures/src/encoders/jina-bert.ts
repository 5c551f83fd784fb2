// JinaBERT, the encoder of jina-embeddings-v2: BERT with ALiBi instead of position embeddings.
import { absolute } from '../derived-operations.ts';
import { productOf } from '../dimensions.ts';
import { hiddenActivations } from '../activations.ts';
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import { type AttentionInputs, distances } from './attention.ts';
import type { TransformerLayers } from './layers.ts';
import { attend, bertTokenTable, embed, postNorm, readBertSizes } from './post-norm.ts';

/**
 * JinaBERT (Günther et al., 2023) in the two variants that Jina AI published: jina-bert-implementation, used by most
 * models, and jina-bert-v2-qk-post-norm, used by jina-embeddings-v2-base-code. The second one also normalizes queries
 * and keys, and normalizes again after each residual. The configurations differ only in `auto_map`; therefore the names
 * of the weights decide on the variant.
 */
export const jinaBert: Architecture = (config, stored) => {
  const sizes = readSizes(config);
  const hasQueryNorm =
    stored?.has('encoder.layer.0.attention.self.layer_norm_q.weight') ??
    config.section('auto_map')?.text('AutoModel', '').includes('qk-post-norm') ??
    false;
  const variant = hasQueryNorm ? normalizingLayer : plainLayer;
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const distanceBias = biasByDistance(layers, sizes.attention.heads);
      let x = embed(layers, undefined, sizes);
      for (let layer = 0; layer < sizes.layers; layer += 1) {
        layers.beginLayer(x);
        x = variant(layers, `encoder.layer.${layer}`, x, sizes, { distanceBias });
      }
      return x;
    },
  };
};

/**
 * The slope of each head in ALiBi (Press et al., 2022): powers of 2^(-8 / heads). If the number of heads is not a power
 * of two, these are the slopes for the next lower power of two, followed by every other slope for the next higher one.
 */
export function slopesOf(heads: number): number[] {
  const powersFor = (count: number): number[] => Array.from({ length: count }, (_, i) => 2 ** ((-8 * (i + 1)) / count));
  const below = 2 ** Math.floor(Math.log2(heads));
  const between = powersFor(2 * below).filter((_, i) => i % 2 === 0);
  return [...powersFor(below), ...between].slice(0, heads);
}

/** The ALiBi bias for the distances -length to length - 1: `[heads, 2 · length]`. */
function biasByDistance<T>(layers: TransformerLayers<T>, heads: number): T {
  const { ops, length } = layers;
  const slopes = layers.constant('slopes of heads', [heads, 1], () =>
    Float32Array.from(slopesOf(heads), (each) => -each),
  );
  return ops.multiply(slopes, ops.reshape(absolute(ops, distances(layers)), [1, productOf([2, length])]));
}

type Layer = <T>(layers: TransformerLayers<T>, layer: string, x: T, sizes: Sizes, inputs: AttentionInputs<T>) => T;

const plainLayer: Layer = (layers, layer, x, sizes, inputs) => {
  const { gate, hiddenSize, intermediateSize } = sizes;
  const { ops } = layers;
  const gated = (input: typeof x): typeof x => {
    const [grown, other] = layers.linearParts(`${layer}.mlp.gated_layers`, input, 2, intermediateSize, {
      bias: false,
    });
    const product = layers.dropout(ops.multiply(gate!(ops, grown), other), sizes.dropout);
    return layers.linear(`${layer}.mlp.wo`, product, hiddenSize);
  };
  const ungated = (input: typeof x): typeof x => {
    const grown = layers.linear(`${layer}.intermediate.dense`, input, intermediateSize);
    return layers.linear(`${layer}.output.dense`, sizes.activation(ops, grown), hiddenSize);
  };
  return postNorm(layers, x, sizes, {
    attend: (input) =>
      layers.linear(
        `${layer}.attention.output.dense`,
        attend(layers, layer, input, sizes, undefined, inputs),
        hiddenSize,
      ),
    attentionNorm: `${layer}.attention.output.LayerNorm`,
    feedForward: gate === undefined ? ungated : gated,
    outputNorm: gate === undefined ? `${layer}.output.LayerNorm` : `${layer}.mlp.layernorm`,
  });
};

const normalizingLayer: Layer = (layers, layer, x, sizes, inputs) => {
  const { hiddenSize, epsilon, dropout } = sizes;
  const { ops } = layers;
  const linear = (part: string, input: typeof x): typeof x =>
    layers.linear(`${layer}.attention.${part}`, input, hiddenSize);
  const norm = (part: string, input: typeof x): typeof x => layers.layerNorm(`${layer}.${part}`, input, epsilon);
  const attended = layers.attention(
    norm('attention.self.layer_norm_q', linear('self.query', x)),
    norm('attention.self.layer_norm_k', linear('self.key', x)),
    linear('self.value', x),
    sizes.attention,
    inputs,
  );
  const mixed = layers.dropout(linear('output.dense', attended), dropout);
  const inner = norm('attention.output.LayerNorm', ops.add(mixed, x));
  const middle = norm('layer_norm_1', ops.add(x, inner));
  const grown = layers.dropout(expand(layers, `${layer}.mlp`, middle, sizes), dropout);
  return norm('layer_norm_2', ops.add(middle, layers.linear(`${layer}.mlp.down_layer`, grown, hiddenSize)));
};

/** The first feed-forward layer of the second variant. If it is gated, the second half of its outputs is the gate. */
function expand<T>(layers: TransformerLayers<T>, name: string, x: T, { gate, activation, intermediateSize }: Sizes): T {
  const { ops } = layers;
  if (gate === undefined)
    return activation(ops, layers.linear(`${name}.up_layer`, x, intermediateSize, { bias: false }));
  const [up, gated] = layers.linearParts(`${name}.up_gated_layer`, x, 2, intermediateSize, { bias: false });
  return ops.multiply(up, gate(ops, gated));
}

/**
 * The activation of the gate by `feed_forward_type`; it takes precedence over `hidden_act`. The type `original` has no
 * gate.
 */
const gates: ReadonlyMap<string, string> = new Map([
  ['geglu', 'gelu'],
  ['reglu', 'relu'],
]);

type Sizes = ReturnType<typeof readSizes>;

function readSizes(config: ConfigReader) {
  config.onlySupports('feed_forward_type', 'original', ...gates.keys());
  return {
    ...readBertSizes(config, { tokenTypes: 2, positions: ['alibi'] }),
    gate: hiddenActivations.get(gates.get(config.text('feed_forward_type', 'original')) ?? ''),
  };
}
