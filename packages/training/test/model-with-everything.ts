// A folder as published ones are: weights in every form, and the self-check of them, all of which are outdated after
// training.
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { plainReference, readEncoder, recordEncoder } from '@sentvec/architectures';
import { encodeSelfCheck, selfCheckFile, selfCheckText } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { goldenExpectation, goldenPath } from '@sentvec/testing';

/** Files that published folders have beside the weights, all of which describe the weights before the training. */
const oldFiles = [
  'onnx/model.onnx_data',
  'onnx/model_quantized.onnx',
  'onnx/model_O4.onnx',
  'onnx/quantize_config.json',
  'onnx/config.json',
  'openvino/openvino_model.xml',
  'openvino/openvino_model.bin',
  'openvino/config.json',
  'model.int8.onnx',
  'model.safetensors.index.json',
  'model-00001-of-00002.safetensors',
  'adapter_model.safetensors',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
  'tf_model.h5',
  'flax_model.msgpack',
  'rust_model.ot',
  'model-q8_0.gguf',
  'coreml/model.mlpackage/Data/weights.bin',
  'ort_config.json',
  'quantization.json',
  'training_args.bin',
  'train_script.py',
  'similarity_evaluation_sts-dev_results.csv',
  'eval/similarity_evaluation_results.csv',
  '2_Normalize/model.onnx',
  'history.jsonl',
  'report.html',
  'curves.svg',
];
export const carriedFiles = ['LICENSE', 'special_tokens_map.json', 'modeling_custom.py', 'vocab.txt'];

/** A model that has files in every form that weights come in, and the self-check of its weights. */
export async function writeModelWithEverything(folder: string): Promise<void> {
  await cp(goldenPath('models/tiny-bert'), folder, { recursive: true });
  for (const path of [...oldFiles, ...carriedFiles.filter((name) => !existsSync(join(folder, name)))]) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), `of the old weights: ${path}`);
  }
  const files = await directoryModel(folder);
  await mkdir(join(folder, 'onnx'), { recursive: true });
  await writeFile(join(folder, 'onnx/model.onnx'), recordEncoder(await readEncoder(files)));
  const ids = goldenExpectation('tiny-bert').cases[3]!.ids.slice(0, 4);
  const embeddings = await plainReference(files, selfCheckText(ids));
  if ('reason' in embeddings) throw new Error(embeddings.reason);
  await writeFile(join(folder, selfCheckFile), encodeSelfCheck({ ids, embeddings }));
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object;
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, torch_dtype: 'float16' }));
}
