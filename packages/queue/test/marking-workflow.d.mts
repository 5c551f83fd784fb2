import type { ForEachResult, Workflow } from '@sentvec/workflow';

export function marking(directory: string): Workflow<number, ForEachResult<number, number>>;
