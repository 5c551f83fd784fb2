export { SentvecError, throwIfAborted, type ErrorCode, type ErrorDetails } from '@sentvec/platform';
