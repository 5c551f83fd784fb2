export * from './dimensions.ts';
export type * from './operations.ts';
