import { memoryModel, readModelFolder, SentvecError, writeSafetensors, type ModelFiles } from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { dense, denseConfig, folder, modules, numbers, withDense } from './small-folders.ts';

/** The code and message of the error with which `readModelFolder` rejects a model. */
async function refusalOf(model: ModelFiles): Promise<unknown> {
  try {
    return await readModelFolder(model);
  } catch (error) {
    return SentvecError.is(error) ? { code: error.code, message: error.message } : error;
  }
}

describe('readModelFolder() refuses', () => {
  it.each<[string, ReturnType<typeof folder>, RegExp]>([
    [
      'an unknown module',
      folder({ 'modules.json': modules('Transformer', 'WeightedLayerPooling') }),
      /model\/modules.json names the module "sentence_transformers.models.WeightedLayerPooling"/u,
    ],
    [
      'an unknown first module',
      folder({ 'modules.json': modules('CLIPModel') }),
      /"sentence_transformers.models.CLIPModel"/u,
    ],
    [
      'a module named like a property of Object.prototype',
      folder({ 'modules.json': modules('Transformer', 'x.constructor') }),
      /"x.constructor"/u,
    ],
    [
      'a pooling after the projections',
      folder({ 'modules.json': modules('Transformer', 'Normalize', 'Pooling') }),
      /"sentence_transformers.models.Pooling" in a position/u,
    ],
    [
      'two poolings',
      folder({ 'modules.json': modules('Transformer', 'Pooling', 'Pooling') }),
      /Pooling" in a position/u,
    ],
    ['a pooling first', folder({ 'modules.json': modules('Pooling', 'Transformer') }), /Pooling" in a position/u],
    [
      'an unknown pooling',
      folder({ '1_Pooling/config.json': { pooling_mode: 'attention' } }),
      /model\/1_Pooling\/config.json names the pooling "attention"/u,
    ],
    [
      'an unknown pooling in a list',
      folder({ '1_Pooling/config.json': { pooling_mode: ['mean', 'median'] } }),
      /"median"/u,
    ],
    [
      'an unknown pooling flag',
      folder({ '1_Pooling/config.json': { pooling_mode_median_tokens: true } }),
      /"pooling_mode_median_tokens"/u,
    ],
    [
      'an unknown activation',
      withDense({ '2_Dense/config.json': denseConfig({ activation_function: 'my.code.Swirl' }) }),
      /model\/2_Dense\/config.json names the activation "my.code.Swirl"/u,
    ],
    [
      'an activation that has weights',
      withDense({ '2_Dense/config.json': denseConfig({ activation_function: 'torch.nn.modules.activation.PReLU' }) }),
      /activation.PReLU"/u,
    ],
    [
      'a dense layer on token embeddings',
      withDense({ '2_Dense/config.json': denseConfig({ module_input_name: 'token_embeddings' }) }),
      /"module_input_name" to "token_embeddings"/u,
    ],
    [
      'a sparse encoder',
      folder({ 'config_sentence_transformers.json': { model_type: 'SparseEncoder' } }),
      /describes a SparseEncoder/u,
    ],
    [
      'an unknown similarity',
      folder({ 'config_sentence_transformers.json': { similarity_fn_name: 'maxsim' } }),
      /similarity "maxsim"/u,
    ],
    [
      'a transformer task other than feature extraction',
      folder({ 'sentence_bert_config.json': { transformer_task: 'fill-mask' } }),
      /"transformer_task": "fill-mask"/u,
    ],
    [
      'an output other than the last hidden state',
      folder({
        'sentence_bert_config.json': {
          modality_config: { text: { method: 'forward', method_output_name: 'pooler_output' } },
        },
      }),
      /"method_output_name": "pooler_output"/u,
    ],
    [
      'a model that embeds only images',
      folder({ 'sentence_bert_config.json': { modality_config: { image: { method: 'forward' } } } }),
      /without "text"/u,
    ],
    [
      'query expansion',
      folder({ 'sentence_bert_config.json': { query_expansion: { strategy: 'fixed' } } }),
      /"query_expansion"/u,
    ],
    [
      'tokenizer options in processing_kwargs',
      folder({ 'sentence_bert_config.json': { processing_kwargs: { text: { add_special_tokens: false } } } }),
      /"add_special_tokens" in "processing_kwargs"/u,
    ],
  ])('%s, as unsupported', async (_, model, message) => {
    expect(await refusalOf(model)).toEqual({ code: 'unsupported-model', message: expect.stringMatching(message) });
  });

  const module = (path: string) =>
    folder({ 'modules.json': modules('Transformer', { type: 'sentence_transformers.models.Pooling', path }) });

  it.each<[string, ReturnType<typeof folder>, RegExp]>([
    ['an empty folder', memoryModel('model', {}), /neither modules.json nor config.json/u],
    [
      'a module path outside the folder',
      module('../../outside'),
      /model\/modules.json contains the path "..\/..\/outside"/u,
    ],
    ['a module path with ".."', module('1_Pooling/../../x'), /inside the model's folder/u],
    ['an absolute path', module('/etc'), /"\/etc"/u],
    ['a Windows path', module('C:\\x'), /inside the model's folder/u],
    ['a path with a NUL', module('1_Pooling\0'), /inside the model's folder/u],
    ['a truncated modules.json', folder({ 'modules.json': '[{"type": ' }), /model\/modules.json is not JSON/u],
    [
      'modules.json that is not UTF-8',
      folder({ 'modules.json': new Uint8Array([0x5b, 0xff, 0x5d]) }),
      /model\/modules.json is not JSON/u,
    ],
    ['an object as modules.json', folder({ 'modules.json': {} }), /must contain a list/u],
    ['no modules', folder({ 'modules.json': [] }), /must contain a list/u],
    ['modules that are not objects', folder({ 'modules.json': ['Transformer'] }), /must contain a list/u],
    ['a module without a class', folder({ 'modules.json': [{ path: '' }] }), /has no "type"/u],
    ['a module without a path', folder({ 'modules.json': [{ type: 'Transformer' }] }), /has no "path"/u],
    [
      'a module whose class is a number',
      folder({ 'modules.json': [{ type: 3, path: '' }] }),
      /"type" in model\/modules.json must be a string, not 3/u,
    ],
    [
      'a transformer without a pooling',
      folder({ 'modules.json': modules('Transformer', 'Normalize') }),
      /has no Pooling/u,
    ],
    [
      'a missing pooling config',
      folder({ '1_Pooling/config.json': undefined }),
      /model\/1_Pooling\/config.json is missing/u,
    ],
    ['a broken pooling config', folder({ '1_Pooling/config.json': '{' }), /model\/1_Pooling\/config.json is not JSON/u],
    [
      'a list as config',
      folder({ '1_Pooling/config.json': [] }),
      /model\/1_Pooling\/config.json must contain a JSON object/u,
    ],
    ['an empty list of poolings', folder({ '1_Pooling/config.json': { pooling_mode: [] } }), /"pooling_mode" in/u],
    [
      'a pooling whose name is a number',
      folder({ '1_Pooling/config.json': { pooling_mode: ['mean', 1] } }),
      /"pooling_mode" in/u,
    ],
    ['a pooling that is a number', folder({ '1_Pooling/config.json': { pooling_mode: 1 } }), /"pooling_mode" in/u],
    [
      'a pooling flag that is a string',
      folder({ '1_Pooling/config.json': { pooling_mode_cls_token: 'yes' } }),
      /"pooling_mode_cls_token" in .* must be true or false/u,
    ],
    [
      'a pooling whose vector length differs from that of the encoder',
      folder({ '1_Pooling/config.json': { word_embedding_dimension: 5 } }),
      /1_Pooling\/config.json expects token vectors of 5, but the encoder gives 4/u,
    ],
    [
      'a max_seq_length of zero',
      folder({ 'sentence_bert_config.json': { max_seq_length: 0 } }),
      /"max_seq_length" in model\/sentence_bert_config.json must be a whole number from 1, not 0/u,
    ],
    ['a broken config.json', folder({ 'config.json': 'null' }), /model\/config.json must contain/u],
    [
      'a prompt that is not a string',
      folder({ 'config_sentence_transformers.json': { prompts: { query: 3 } } }),
      /"query" in model\/config_sentence_transformers.json must be a string/u,
    ],
    [
      'a default prompt that does not exist',
      folder({ 'config_sentence_transformers.json': { prompts: {}, default_prompt_name: 'toString' } }),
      /"toString" the default prompt/u,
    ],
    [
      'a dense layer whose input length does not match',
      withDense({ '2_Dense/config.json': denseConfig({ in_features: 5 }), '2_Dense/model.safetensors': dense(3, 5) }),
      /model\/2_Dense does not fit .*3 × 5 gets vectors of 4/u,
    ],
    [
      'dense weights whose shape differs from the config',
      withDense({ '2_Dense/model.safetensors': dense(4, 3) }),
      /"linear.weight" has the shape \[4, 3\], but model\/2_Dense\/config.json requires \[3, 4\]/u,
    ],
    [
      'a dense layer without weights',
      withDense({ '2_Dense/model.safetensors': undefined }),
      /model\/2_Dense\/model.safetensors is missing/u,
    ],
    [
      'a dense layer with PyTorch weights only',
      withDense({ '2_Dense/model.safetensors': undefined, '2_Dense/pytorch_model.bin': '' }),
      /contains 2_Dense\/pytorch_model.bin .*Convert/u,
    ],
    [
      'a dense layer without its bias',
      withDense({
        '2_Dense/model.safetensors': writeSafetensors({ 'linear.weight': { shape: [3, 4], data: numbers(12) } }),
      }),
      /have no tensor "linear.bias"/u,
    ],
    [
      'a dense layer with an unexpected bias',
      withDense({ '2_Dense/config.json': denseConfig({ bias: false }) }),
      /have a tensor "linear.bias"/u,
    ],
    [
      'a residual without weights between different sizes',
      withDense({ '2_Dense/config.json': denseConfig({ use_residual: true }) }),
      /no tensor "residual.weight"/u,
    ],
    [
      'a dense layer without "in_features"',
      withDense({ '2_Dense/config.json': { out_features: 3 } }),
      /has no "in_features"/u,
    ],
    [
      'a layer norm of another length',
      folder({
        'modules.json': modules('Transformer', 'Pooling', 'LayerNorm'),
        '2_LayerNorm/config.json': { dimension: 2 },
        '2_LayerNorm/model.safetensors': writeSafetensors({
          'norm.weight': { shape: [2], data: numbers(2) },
          'norm.bias': { shape: [2], data: numbers(2) },
        }),
      }),
      /2_LayerNorm does not fit/u,
    ],
    [
      'a second dense layer that does not fit the first',
      withDense({
        'config.json': {},
        '1_Pooling/config.json': {},
        'modules.json': modules('Transformer', 'Pooling', 'Dense', 'Dense'),
        '3_Dense/config.json': denseConfig(),
        '3_Dense/model.safetensors': dense(3, 4),
      }),
      /3_Dense does not fit .*gets vectors of 3/u,
    ],
  ])('%s, as invalid', async (_, model, message) => {
    expect(await refusalOf(model)).toEqual({ code: 'invalid-model', message: expect.stringMatching(message) });
  });
});
