// The model as sentence-transformers lays it out: configuration files, tokenizer and weights, by path.
import { selfCheck } from './self-check-values.ts';
import { readSource } from './source.ts';
import { tokenizerJson } from './tokenizer.ts';
import { denseWeights, encoderConfig, encoderWeights } from './weights.ts';

/** The longest text in tokens: the published graph cuts there. */
const maxLength = 128;
const dimension = 512;

/**
 * The files of the model as sentence-transformers lays them out, by path.
 * @throws SentvecError as `readSource`
 */
export async function convertFolder(): Promise<ReadonlyMap<string, Uint8Array>> {
  const { tensors, vocabulary } = await readSource();
  return new Map([
    ['config.json', json(encoderConfig)],
    ['model.safetensors', encoderWeights(tensors)],
    ['self-check.json', json(selfCheck)],
    ['tokenizer.json', json(tokenizerJson(vocabulary))],
    // The padding token is one of the reserved pieces, which no text contains; the mask hides it.
    [
      'tokenizer_config.json',
      json({ tokenizer_class: 'PreTrainedTokenizerFast', model_max_length: maxLength, pad_token: 'extra_token_id_1' }),
    ],
    ['modules.json', json(modules)],
    ['sentence_bert_config.json', json({ max_seq_length: maxLength, do_lower_case: false })],
    [
      'config_sentence_transformers.json',
      json({ prompts: {}, default_prompt_name: null, similarity_fn_name: 'cosine' }),
    ],
    [
      '1_Pooling/config.json',
      json({ word_embedding_dimension: dimension, pooling_mode_mean_tokens: true, ...otherPoolingModes }),
    ],
    [
      '2_Dense/config.json',
      json({
        in_features: dimension,
        out_features: dimension,
        bias: true,
        activation_function: 'torch.nn.modules.activation.Tanh',
      }),
    ],
    ['2_Dense/model.safetensors', denseWeights(tensors)],
    ['3_Normalize/config.json', json({})],
  ]);
}

const modules = ['Transformer', 'Pooling', 'Dense', 'Normalize'].map((type, idx) => ({
  idx,
  name: String(idx),
  path: idx === 0 ? '' : `${idx}_${type}`,
  type: `sentence_transformers.models.${type}`,
}));

const otherPoolingModes = Object.fromEntries(
  ['cls_token', 'max_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens', 'lasttoken'].map((mode) => [
    `pooling_mode_${mode}`,
    false,
  ]),
);

function json(value: object): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}
