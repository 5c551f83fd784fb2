export { exitCode } from './exit-codes.ts';
