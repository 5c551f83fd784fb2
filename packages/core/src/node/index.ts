export * from './cache-directory.ts';
