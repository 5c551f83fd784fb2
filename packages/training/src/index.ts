// The main entry of @sentvec/training, for browsers and Node. `/node` adds files and threads, `/tfjs` TensorFlow.js.
export { mineHardNegatives, type HardNegativeOptions, type MinedNegatives, type Rescore } from './hard-negatives.ts';
export {
  checkedParameter,
  inputsOf,
  labelsOf,
  firstOf,
  pairOf,
  type LabelKind,
  type Loss,
  type LossDescription,
  type LossInputs,
  type TrainingLoss,
} from './loss.ts';
export * from './losses/adaptive-layer.ts';
export * from './losses/batch-losses.ts';
export * from './losses/contrastive.ts';
export * from './losses/distance.ts';
export {
  distillKlDivLoss,
  embedDistillLoss,
  marginMseLoss,
  mseLoss,
  type DistillKlDivOptions,
} from './losses/distillation.ts';
export { lossFromName, lossNames, type LossDefaults, type LossParameters } from './losses/loss-from-name.ts';
export * from './losses/listwise.ts';
export * from './losses/matryoshka.ts';
export * from './losses/multi-vector.ts';
export * from './losses/multiple-negatives-ranking.ts';
export {
  binaryCrossEntropyLoss,
  crossEntropyLoss,
  scoreMarginMseLoss,
  scoreMseLoss,
  scoreRankingLoss,
  type BinaryCrossEntropyOptions,
  type ScoreActivation,
  type ScoreOptionsOfLoss,
  type ScoreRankingOptions,
} from './losses/pair-scores.ts';
export * from './losses/scored-pairs.ts';
export * from './losses/softmax.ts';
export * from './losses/splade.ts';
export * from './losses/triplet.ts';
export * from './optimizer/adamw.ts';
export * from './optimizer/parameters.ts';
export * from './random.ts';
export * from './data/samplers.ts';
export { makeBatch, textsInParts, type BatchColumn, type TrainingBatch } from './data/batch.ts';
export { examplesOfClasses, type ExamplesOfClassesOptions } from './data/examples-of-classes.ts';
export type * from './engine.ts';
export {
  evaluateClassification,
  type ClassificationOptions,
  type ClassifiedTexts,
} from './evaluation/classification.ts';
export { evaluateClustering, kMeans, vMeasure, type ClusteringOptions } from './evaluation/clustering.ts';
export {
  bm25Stage,
  denseStage,
  evaluateRetrieval,
  evaluateSearch,
  lateInteractionStage,
  retrievalTask,
  sparseStage,
  type CorpusBlocks,
  type EvaluateSearchOptions,
  type FirstStage,
  type RetrievalTask,
  type SearchEvaluation,
} from './evaluation/retrieval.ts';
export {
  evaluateParaphrases,
  evaluateReranking,
  paraphraseTask,
  rerankingSamples,
  type ParaphraseTask,
  type RerankingSample,
} from './evaluation/search.ts';
export {
  evaluateBinaryClassification,
  evaluateSts,
  evaluateTriplets,
  type LabelledPairs,
  type ScoredPairs,
  type Triplets,
} from './evaluation/similarity.ts';
export { fitLinearProbe, type LinearProbe, type LinearProbeOptions } from './evaluation/linear-probe.ts';
export { GradientEngine, type BatchGradients, type GradientEngineOptions } from './step/gradient-engine.ts';
export { graphEngine, type EngineGraphs, type GraphEngineOptions, type RouteGraphs } from './step/graph-gradients.ts';
export type { OnnxRuntime } from './step/graph-runner.ts';
export { recordGraphs, type RecordOptions } from './step/record-graphs.ts';
export {
  recordEmbedding,
  recordLoss,
  recordPullback,
  recordStep,
  trainableTensors,
  trainedNames,
  type Objective,
  type TrainableParts,
  type TrainableTensor,
} from './step/record-step.ts';
export { withLora, type LoraAdapters, type LoraOptions } from './step/lora.ts';
export type { Draw } from './step/draws.ts';
export type { TrainableModel, TrainableRoute } from './step/siamese.ts';
export type { EmbedTexts, EmbedTextsOptions, ScorePairs, SearchPrompts } from './embed-texts.ts';
export type { RoleReader, RouteReaders, TextReader } from './data/tokenized-sets.ts';
export { train } from './trainer.ts';
export type * from './training-request.ts';
export {
  learningRateAt,
  type Mixing,
  type Schedule,
  type ScheduleKind,
  type TrainingOptions,
} from './training-options.ts';
export { checkTrainingSet, type TrainingSet } from './data/training-set.ts';
export {
  trainedModelFiles,
  trainedWeights,
  type FileContents,
  type TrainedFilesOptions,
  type TrainedWeights,
} from './trained-model.ts';
export { trainedAdapterFiles } from './trained-adapter.ts';
export {
  withFreshScores,
  withTermWeights,
  withTokenVectors,
  type FreshScoresOptions,
  type TokenVectorOptions,
} from './from-scratch/fresh-head.ts';
export { distillStatic, type DistillStaticOptions } from './from-scratch/distill-static.ts';
export { fromScratch, type FromScratchOptions } from './from-scratch/from-scratch.ts';
export { trainWordPiece, type WordPieceOptions } from './from-scratch/word-piece-trainer.ts';
