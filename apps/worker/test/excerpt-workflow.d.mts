import type { ForEachResult, Workflow } from '@sentvec/workflow';

interface ExcerptInput {
  readonly model: string;
  readonly file: string;
}

export function excerpt(): Workflow<ExcerptInput, ForEachResult<ExcerptInput, number>>;
