import type { Embedder } from '@sentvec/core';
import type { Access, ForEachResult, Workflow } from '@sentvec/workflow';

interface Site {
  readonly folder: string;
  readonly index: string;
}

export default function pages(tools: {
  readonly embedder: (model: string) => Promise<Embedder>;
  readonly access: Access;
}): Workflow<Site, ForEachResult<Site, number>>;
