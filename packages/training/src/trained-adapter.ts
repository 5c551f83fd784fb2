// Writes trained LoRA adapters as a separate folder in PEFT's format.
import { SentvecError, writeSafetensors, type ModelFiles } from '@sentvec/core';
import type { LoraAdapters } from './step/lora.ts';
import { filesAroundEncoder, type FileContents, type TrainedWeights } from './trained-model.ts';

/**
 * The files of a trained adapter: PEFT's `adapter_config.json` and `adapter_model.safetensors`, and the files of
 * `trainedModelFiles` except the encoder's weights. To load the folder, the base model is needed too.
 * @param base the base model: its name on the hub, or the absolute path of its folder
 * @throws SentvecError `invalid-argument` for a model that is itself an adapter, or whose encoder is in a subfolder
 */
export async function trainedAdapterFiles(
  files: ModelFiles,
  adapters: LoraAdapters,
  trained: TrainedWeights,
  base: string,
): Promise<FileContents> {
  await checkBaseOfAdapter(files);
  const { rank, alpha, dropout, modules, tensors } = adapters;
  const config = {
    peft_type: 'LORA',
    task_type: 'FEATURE_EXTRACTION',
    base_model_name_or_path: base,
    inference_mode: true,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    target_modules: modules,
    bias: 'none',
  };
  const matrices = tensors.map(({ name, shape, data }) => [
    `base_model.model.${name}`,
    { shape, data: trained.get(name) ?? data },
  ]);
  const { 'config.json': _, ...around } = await filesAroundEncoder(files, trained);
  return {
    ...around,
    'adapter_config.json': new TextEncoder().encode(`${JSON.stringify(config, undefined, 2)}\n`),
    'adapter_model.safetensors': writeSafetensors(Object.fromEntries(matrices), { format: 'pt' }),
  };
}

/**
 * Checks that an adapter of this model can be saved separately.
 * @throws SentvecError `invalid-argument` when it cannot
 */
export async function checkBaseOfAdapter(files: ModelFiles): Promise<void> {
  const names = await files.list();
  const why = names.includes('adapter_config.json')
    ? 'is itself an adapter of another model'
    : names.includes('config.json')
      ? undefined
      : 'has its encoder in a subfolder, which an adapter cannot refer to';
  if (why === undefined) return;
  throw new SentvecError('invalid-argument', `The model ${files.name} ${why}. Save the adapter merged.`, {
    file: files.name,
  });
}
