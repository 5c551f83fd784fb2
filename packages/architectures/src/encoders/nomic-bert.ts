// NomicBERT: BERT with rotary position embeddings and gated feed-forward layers, in version 2 with a mixture of
// experts.
import { type ActivationFunction, hiddenActivations } from '../activations.ts';
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import type { AttentionSizes, Rotation } from './attention.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, embed, type EmbeddingSizes, postNorm } from './post-norm.ts';
import { maxPositionsSupported, readRotary, rotaryFrequencies, rotationOf, type RotaryPositions } from './rotary.ts';

/**
 * NomicBERT (Nussbaum et al., 2024; with experts: Nussbaum and Duderstadt, 2025), with the configuration of the
 * published code (modeling_hf_nomic_bert.py) or that of `NomicBertModel` of transformers. Both have the same weight
 * names. Texts are truncated to the length of the training, because for longer texts the published code rotates all
 * texts of a batch by angles that depend on the longest one.
 */
export const nomicBert: Architecture = (config) => {
  const sizes = config.has('n_embd') ? readPublished(config) : readTransformers(config);
  return {
    maxPositions: sizes.rotary.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const rotation = rotationOf(layers, sizes.rotary);
      let x = embed(layers, undefined, sizes, 'emb_ln');
      for (let index = 0; index < sizes.layers; index += 1) {
        layers.beginLayer(x);
        const layer = `encoder.layers.${index}`;
        x = postNorm(layers, x, sizes, {
          attend: (input) => attend(layers, `${layer}.attn`, input, sizes, rotation),
          attentionNorm: `${layer}.norm1`,
          feedForward: (input) => feedForward(layers, `${layer}.mlp`, input, sizes, index),
          outputNorm: `${layer}.norm2`,
        });
      }
      return x;
    },
  };
};

/** The sizes and the variant of the layers. */
interface Sizes extends EmbeddingSizes {
  readonly hiddenSize: number;
  readonly layers: number;
  readonly vocabularySize: number;
  readonly intermediateSize: number;
  readonly attention: AttentionSizes;
  readonly attentionBias: boolean;
  readonly rotary: RotaryPositions;
  readonly activation: ActivationFunction;
  /** Whether the feed-forward layers are gated. */
  readonly gated: boolean;
  readonly inputBias: boolean;
  readonly outputBias: boolean;
  readonly experts?: Experts | undefined;
}

interface Experts {
  readonly count: number;
  /** The number of experts that a token uses; their results are added. */
  readonly used: number;
  /** Every `period`-th layer has experts, starting with the second layer. */
  readonly period: number;
}

function attend<T>(layers: TransformerLayers<T>, name: string, x: T, sizes: Sizes, rotation: Rotation<T>): T {
  const { attention, hiddenSize } = sizes;
  const bias = { bias: sizes.attentionBias };
  const width = attention.heads * attention.headSize;
  const [queries, keys, values] = layers.linearParts(`${name}.Wqkv`, x, 3, width, bias);
  const attended = layers.attention(queries, keys, values, attention, { rotation });
  return layers.linear(`${name}.out_proj`, attended, hiddenSize, bias);
}

function feedForward<T>(layers: TransformerLayers<T>, name: string, x: T, sizes: Sizes, layer: number): T {
  const { experts, intermediateSize, activation, hiddenSize } = sizes;
  if (experts !== undefined && layer % experts.period === 1) return mixExperts(layers, name, x, sizes, experts);
  const { ops } = layers;
  const input = (part: string): T => layers.linear(`${name}.${part}`, x, intermediateSize, { bias: sizes.inputBias });
  const grown = sizes.gated
    ? ops.multiply(input('fc11'), activation(ops, input('fc12')))
    : activation(ops, input('fc1'));
  return layers.linear(`${name}.fc2`, grown, hiddenSize, { bias: sizes.outputBias });
}

/**
 * The sum of the `used` experts with the highest router probability for a token, each multiplied by its probability.
 * The probabilities are not rescaled to the sum 1. All experts compute all tokens in one product, because the
 * assignment of tokens to experts is not known when a graph is recorded.
 */
function mixExperts<T>(
  layers: TransformerLayers<T>,
  name: string,
  x: T,
  { hiddenSize, intermediateSize, activation }: Sizes,
  { count, used }: Experts,
): T {
  const { ops } = layers;
  const [rows] = ops.shape(x);
  const weight = (part: string): T =>
    layers.weight(`${name}.experts.mlp.${part}`, [count * intermediateSize, hiddenSize]);
  const probabilities = ops.softmax(layers.linear(`${name}.router.layer`, x, count, { bias: false }));
  const chosen = ops.multiply(
    probabilities,
    ops.subtract(1, ops.greater(threshold(ops, probabilities, used), probabilities)),
  );
  const grown = activation(ops, ops.linear(x, weight('w1')));
  const weighted = ops.multiply(
    ops.reshape(grown, [rows!, count, intermediateSize]),
    ops.reshape(chosen, [rows!, count, 1]),
  );
  const mixed = ops.matmul(ops.reshape(weighted, [rows!, count * intermediateSize]), weight('w2'));
  return ops.add(mixed, layers.weight(`${name}.experts.bias`, [hiddenSize]));
}

/** The `rank`-th largest entry of each row: `[rows, 1]`. All entries must be positive. */
function threshold<T>(ops: TransformerLayers<T>['ops'], x: T, rank: number): T {
  let rest = x;
  for (let i = 1; i < rank; i += 1) rest = ops.multiply(rest, ops.greater(ops.max(rest, [-1], true), rest));
  return ops.max(rest, [-1], true);
}

/** Reads the configuration of `NomicBertModel` of transformers. */
function readTransformers(config: ConfigReader): Sizes {
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  const headSize = config.integer('head_dim', { fallback: Math.floor(hiddenSize / heads) });
  const rotary = readRotary(config, headSize, { theta: 1000 });
  return {
    hiddenSize,
    embeddingSize: hiddenSize,
    layers: config.layers('num_hidden_layers'),
    vocabularySize: config.integer('vocab_size'),
    tokenTypes: config.integer('type_vocab_size', { fallback: 2 }),
    positions: rotary.positions,
    intermediateSize: config.integer('intermediate_size'),
    attention: { heads, headSize, dropout: config.fraction('attention_probs_dropout_prob', 0) },
    attentionBias: false,
    rotary,
    activation: config.activation('hidden_act', 'silu'),
    gated: true,
    inputBias: false,
    outputBias: false,
    epsilon: config.epsilon('layer_norm_eps', 1e-12),
    dropout: config.fraction('hidden_dropout_prob', 0),
  };
}

/**
 * The activation of the gate by `activation_function`. For all other names the published code uses GELU without a gate.
 */
const gates: ReadonlyMap<string, string> = new Map([
  ['glu', 'sigmoid'],
  ['swiglu', 'silu'],
  ['geglu', 'gelu'],
]);

/** The published code rounds the size of gated feed-forward layers up to a multiple of this number. */
const gatedMultiple = 256;

/** Reads the configuration of the published code, whose defaults are those of GPT-2. */
function readPublished(config: ConfigReader): Sizes {
  refuseVariants(config);
  const hiddenSize = config.integer('n_embd');
  const heads = config.integer('n_head', { fallback: 12 });
  const headSize = config.headSize(hiddenSize, heads);
  const activation = config.text('activation_function', 'gelu_new');
  const gate = gates.get(activation);
  const known = ['gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh', ...gates.keys()];
  if (!known.includes(activation))
    throw config.unsupported('activation_function', activation, `Supported activations: ${known.join(', ')}.`);
  const experts = readExperts(config);
  if (experts !== undefined && gate !== undefined)
    throw config.unsupported(
      'activation_function',
      activation,
      'A NomicBERT with experts cannot have a gated activation.',
    );
  const rows = config.integer('vocab_size', { fallback: 50_257 });
  return {
    hiddenSize,
    embeddingSize: hiddenSize,
    layers: config.integer('n_layer', { fallback: 12, largest: 1024 }),
    vocabularySize: multipleOf(config.integer('pad_vocab_size_multiple', { fallback: 1 }), rows),
    tokenTypes: config.integer('type_vocab_size', { fallback: 2, smallest: 0 }),
    ...readPublishedPositions(config, headSize),
    intermediateSize:
      gate === undefined
        ? config.integer('n_inner', { fallback: 4 * hiddenSize })
        : multipleOf(gatedMultiple, config.integer('n_inner', { fallback: Math.floor((8 * hiddenSize) / 3) })),
    attention: { heads, headSize, dropout: config.fraction('attn_pdrop', 0.1) },
    attentionBias: config.flag('qkv_proj_bias', true),
    activation: hiddenActivations.get(gate ?? 'gelu')!,
    gated: gate !== undefined,
    inputBias: config.flag('mlp_fc1_bias', true),
    outputBias: config.flag('mlp_fc2_bias', true),
    experts,
    epsilon: config.epsilon('layer_norm_epsilon', 1e-5),
    dropout: config.fraction('resid_pdrop', 0.1),
  };
}

function readPublishedPositions(config: ConfigReader, headSize: number): Pick<Sizes, 'positions' | 'rotary'> {
  const positions = config.integer('n_positions', { fallback: 1024, largest: maxPositionsSupported });
  // Unless the factor is null, the published code scales the positions of longer texts.
  const trained = config.integer('max_trained_positions', { fallback: 2048 });
  const scaled = !config.isNull('rotary_scaling_factor');
  return {
    positions,
    rotary: {
      name: 'all layers',
      frequencies: rotaryFrequencies(headSize, config.positive('rotary_emb_base', 1000)),
      positions: scaled ? Math.min(positions, trained) : positions,
    },
  };
}

function readExperts(config: ConfigReader): Experts | undefined {
  const period = config.integer('moe_every_n_layers', { fallback: 0, smallest: 0 });
  if (period === 0) return undefined;
  const count = config.integer('num_experts');
  return { count, used: config.integer('moe_top_k', { largest: count }), period };
}

/** Refuses variants of the published code that no published model uses. */
function refuseVariants(config: ConfigReader): void {
  config.onlySupports('rotary_emb_fraction', 1);
  for (const key of [
    'rotary_emb_interleaved',
    'rotary_head_dim',
    'prenorm',
    'parallel_block',
    'use_rms_norm',
    'norm_mlp',
    'causal',
    'expert_choice_router',
  ])
    config.onlySupports(key, false);
  config.onlySupports('rotary_emb_scale_base', null);
  config.onlySupports('num_heads_kv', null, config.integer('n_head', { fallback: 12 }));
  config.onlySupports('num_shared_experts', 0);
  config.onlySupports('ffn_div', 1);
}

function multipleOf(multiple: number, size: number): number {
  return Math.ceil(size / multiple) * multiple;
}
