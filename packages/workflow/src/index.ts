// @sentvec/workflow: workflows and steps, the in-process runtime, and the workflow that embeds a corpus.
export { attemptStep, silentLogger, toRunError, type Attempt } from './attempt.ts';
export {
  checkFailedIds,
  IncompleteError,
  isSameItem,
  itemId,
  itemReference,
  sortItems,
  tooManyFailed,
} from './failed-items.ts';
export { inProcessRuntime, type InProcessOptions } from './in-process.ts';
export { runItem } from './local-stages.ts';
export { addToTotal, initialTotal, OrderedProgress } from './ordered-progress.ts';
export {
  dependsOnWorker,
  finalError,
  fullRetryPolicy,
  isPassingFault,
  isTransient,
  retryDelay,
  type Failures,
  type FullRetryPolicy,
  type RetryPolicy,
} from './retry.ts';
export { createAttempt, readSource, type LocalScope, type ReadSourceOptions } from './retrying.ts';
export {
  busyError,
  checkRunId,
  identifyRequest,
  newRunId,
  otherRequestError,
  type Request,
  type RequestIdentity,
} from './request.ts';
export {
  checkInput,
  plainInput,
  runStages,
  sourcePath,
  stageAt,
  type ForEachStage,
  type StageRunner,
} from './run-stages.ts';
export {
  eventIdError,
  hasEnded,
  type FailedItem,
  type NeededModel,
  type RunError,
  type RunEvent,
  type RunHandle,
  type RunEventPayload,
  type RunItems,
  type RunState,
  type RunStatus,
  type Runtime,
  type StartOptions,
} from './runtime.ts';
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
export { checkSchema, describeThrown, maxInputBytes, maxValueBytes, toJsonValue } from './values.ts';
export { workflowVersion } from './workflow-version.ts';
export { restrictAccess, unrestrictedAccess, type Access, type AccessLimits } from './corpus/access.ts';
export { embedCorpusWorkflow, type EmbedCorpusResources, type EmbedderOf } from './corpus/embed-corpus-workflow.ts';
export type {
  CommittedCorpus,
  CorpusTotal,
  EmbedCorpusInput,
  EmbeddedChunk,
  PlannedChunk,
  PreparedRequest,
} from './corpus/schemas.ts';
