export { readCheckpoint, writeCheckpoint } from './checkpoint-file.ts';
export { parseTrainingConfig, type DataConfig, type ScratchConfig, type TrainingConfig } from './config.ts';
export { evaluationTypes, type EvaluationConfig, type EvaluationType } from './evaluation-config.ts';
export { trainingConfigSchema } from './config-schema.ts';
export { loadTrainable, type LoadedTrainable } from './load-trainable.ts';
export { onnxEngine, type OnnxEngineOptions } from './onnx-engine.ts';
export { trainFromConfig, type TrainedFolder, type TrainFromConfigOptions } from './train-from-config.ts';
