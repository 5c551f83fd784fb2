export { abortError, attemptStep, silentLogger, toRunError, type Attempt } from './attempt.ts';
export { checkRunId, inProcessRuntime, type InProcessOptions } from './in-process.ts';
export { hasEnded } from './local-run.ts';
export { runItem } from './local-stages.ts';
export { addToTotal, initialTotal, OrderedProgress } from './ordered-progress.ts';
export { maxValueBytes, runId, toJsonValue } from './reference.ts';
export { fullRetryPolicy, isTransient, retryDelay, type FullRetryPolicy, type RetryPolicy } from './retry.ts';
export { createAttempt, readSource, type LocalScope, type ReadSourceOptions } from './retrying.ts';
export {
  checkInput,
  maxInputBytes,
  runStages,
  sourcePath,
  stageAt,
  type ForEachStage,
  type StageRunner,
} from './run-stages.ts';
export type {
  RunError,
  RunEvent,
  RunHandle,
  RunEventPayload,
  RunItems,
  RunState,
  RunStatus,
  Runtime,
  StartOptions,
} from './runtime.ts';
export { checkSchema } from './schema.ts';
export {
  defineStep,
  type AnyStep,
  type DeadLetter,
  type DefinedStep,
  type Logger,
  type Source,
  type Step,
  type StepContext,
  type StepDefinition,
} from './step.ts';
export {
  defineWorkflow,
  type AnyWorkflow,
  type ForEachOptions,
  type ForEachResult,
  type Sequence,
  type Stage,
  type Workflow,
} from './workflow.ts';
export { isBucketUri, restrictAccess, unrestrictedAccess, type Access, type AccessLimits } from './corpus/access.ts';
export { embedCorpusWorkflow, type EmbedCorpusResources } from './corpus/embed-corpus-workflow.ts';
export type {
  CommittedCorpus,
  CorpusTotal,
  EmbedCorpusInput,
  EmbeddedChunk,
  PlannedChunk,
  PreparedRequest,
} from './corpus/schemas.ts';
