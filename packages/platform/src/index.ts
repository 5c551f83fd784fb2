export {
  abortable,
  abortError,
  AbortScope,
  onAbort,
  sleep,
  startTimer,
  throwIfAborted,
  withDeadline,
} from './abort.ts';
export { escapeControlCharacters } from './control-characters.ts';
export { canonicalJson } from './canonical-json.ts';
export { SentvecError, type ErrorCode, type ErrorDetails } from './errors.ts';
export { checkHubEndpoint, huggingFaceEndpoint } from './hub-endpoint.ts';
export { inOrder } from './in-order.ts';
export { allowedFailures, checkMaxFailed, isMaxFailed, mostFailedItems, type MaxFailed } from './max-failed.ts';
export { nextTask, shouldYield, yieldToEventLoop } from './event-loop.ts';
export { checkCount, checkOptionNames, type OptionNames } from './options.ts';
export {
  PassingFailure,
  retryAfter,
  retryDelay,
  waitToRetry,
  type RetryDelayOptions,
  type WaitToRetryOptions,
} from './retry.ts';
export { sha256 } from './sha256.ts';
export { warn } from './warnings.ts';
