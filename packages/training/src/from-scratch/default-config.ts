// Default configurations of models that are made from scratch.

/** Default sizes of new transformers: small enough to train on a CPU. */
const [width, layers, heads, intermediate] = [256, 4, 4, 1024];

/** `[PAD]` is the first piece of the learnt vocabulary. */
const paddingId = 0;

const bert = {
  hidden_size: width,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  intermediate_size: intermediate,
  hidden_act: 'gelu',
  layer_norm_eps: 1e-12,
  pad_token_id: paddingId,
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
};

/**
 * The default `config.json` of a model type, with the keys of transformers but without `vocab_size`. It has positions
 * for `maxLength` tokens. For an unknown model type it has only `model_type`; reading the folder then reports the
 * missing keys.
 */
export function defaultConfig(modelType: string, maxLength: number): Readonly<Record<string, unknown>> {
  const own = defaults.get(modelType)?.(maxLength) ?? {};
  return { model_type: modelType, ...own };
}

type ConfigOfLength = (maxLength: number) => Readonly<Record<string, unknown>>;

/** RoBERTa numbers positions from `paddingId + 1`. */
const roberta: ConfigOfLength = (maxLength) => ({
  ...bert,
  max_position_embeddings: maxLength + paddingId + 1,
  type_vocab_size: 1,
});

const defaults: ReadonlyMap<string, ConfigOfLength> = new Map<string, ConfigOfLength>([
  ['bert', (maxLength) => ({ ...bert, max_position_embeddings: maxLength, type_vocab_size: 2 })],
  ['camembert', roberta],
  ['roberta', roberta],
  ['xlm-roberta', roberta],
  [
    'mpnet',
    (maxLength) => ({
      ...bert,
      pad_token_id: 1,
      max_position_embeddings: maxLength + 2,
      relative_attention_num_buckets: 32,
    }),
  ],
  [
    'distilbert',
    (maxLength) => ({
      dim: width,
      n_layers: layers,
      n_heads: heads,
      hidden_dim: intermediate,
      activation: 'gelu',
      pad_token_id: paddingId,
      max_position_embeddings: maxLength,
      dropout: 0.1,
      attention_dropout: 0.1,
    }),
  ],
  ['static-embedding', () => ({ hidden_size: width })],
  [
    'universal-sentence-encoder-lite',
    (maxLength) => ({
      embedding_size: width,
      hidden_size: width,
      intermediate_size: intermediate,
      num_hidden_layers: 2,
      num_attention_heads: heads,
      max_position_embeddings: maxLength,
      hidden_act: 'relu',
      layer_norm_eps: 1e-6,
      hidden_dropout_prob: 0.1,
      attention_probs_dropout_prob: 0.1,
    }),
  ],
]);
