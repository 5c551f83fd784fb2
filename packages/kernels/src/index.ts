export { type GrowableMemory, type KernelMemory, kernelMemory } from './instantiate.ts';
export { type LayerKernels, layerKernels } from './layers.ts';
export { type OptimizerKernels, optimizerKernels } from './optimizer.ts';
export { portableScores } from './portable-scores.ts';
export type { ScoreFunction, ScoreFunctions, ScoreMemory, ScoreRuntime, Scoring } from './score-functions.ts';
export { bestScores, webAssemblyScores } from './scores.ts';
