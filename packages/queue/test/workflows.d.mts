import type { ForEachResult, Source, Workflow } from '@sentvec/workflow';

export const count: Source<number, number>;
export const intoSum: { readonly initial: number; readonly add: (total: number, value: number) => number };
export function marking(directory: string): Workflow<number, ForEachResult<number, number>>;
