export { readCheckpoint, writeCheckpoint } from './checkpoint-file.ts';
export {
  parseTrainingConfig,
  trainingConfigSchema,
  type DataConfig,
  type LoraConfig,
  type ScratchConfig,
  type TrainingConfig,
  type TrainingDevice,
} from './config.ts';
export type { Recipe } from './recipe.ts';
export { evaluationTypes, type EvaluationConfig, type EvaluationType } from './evaluation-config.ts';
export { loadTrainable, type LoadedTrainable } from './load-trainable.ts';
export { onnxEngine, type OnnxEngineOptions } from './onnx-engine.ts';
export type { TrainedFolder, TrainFromConfigOptions } from './configured-run.ts';
export { trainFromConfig } from './train-from-config.ts';
