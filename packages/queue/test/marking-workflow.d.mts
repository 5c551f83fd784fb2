import type { Gathered, Workflow } from '@sentvec/workflow';

export function marking(directory: string): Workflow<number, Gathered<number, number>>;
