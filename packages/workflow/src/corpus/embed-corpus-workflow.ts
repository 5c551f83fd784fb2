/** The workflow that embeds a corpus. */
import type { CorpusEmbedder } from '@sentvec/corpus';
import type { RetryPolicy } from '../retry.ts';
import { defineStep } from '../step.ts';
import { defineWorkflow, type Workflow } from '../workflow.ts';
import { unrestrictedAccess, type Access } from './access.ts';
import { commitPrepared, embedPlanned, identifyCorpusRequest, planPrepared, prepareRequest } from './corpus-steps.ts';
import { addChunk, emptyTotal, schemas, type CommittedCorpus, type EmbedCorpusInput } from './schemas.ts';

/**
 * Gives the embedder of a model, ready. It is called for every chunk, so it should cache embedders.
 *
 * `isolated` is set when a text of the chunk may have crashed the processes that embedded it. The function may then return
 * an embedder that runs in a process of its own, whose `embed` rejects with `backend-failed` when that process ends.
 */
export type EmbedderOf = (
  model: string,
  options?: { readonly isolated?: boolean | undefined },
) => Promise<CorpusEmbedder>;

/**
 * What {@link embedCorpusWorkflow} works with, in the process that executes its steps. A process that only starts runs
 * needs none of it.
 */
export interface EmbedCorpusResources {
  readonly embedder?: EmbedderOf | undefined;
  /**
   * What requests may touch.
   * @default everything
   */
  readonly access?: Access | undefined;
  /**
   * How each step is tried again.
   * @default see {@link RetryPolicy}
   */
  readonly retry?: RetryPolicy | undefined;
}

/**
 * The workflow that embeds a corpus: prepare the output folder → plan (splits the inputs into chunks, lazily) → embed
 * each chunk → commit the manifest. It adapts the steps of `@sentvec/corpus` to runtimes. In one process, `embedCorpus`
 * of that package executes the same steps by itself.
 *
 * Steps pass references to each other; texts and vectors stay in files that every worker can reach under the same path.
 * The bytes of the output do not depend on who computes them. Rows that cannot be embedded become dead letters, and
 * are listed in the output; a replay embeds the chunks that have any once more. A request whose output folder holds an
 * unfinished run of the same request continues it, unless `request.resume` is false.
 */
export function embedCorpusWorkflow(resources: EmbedCorpusResources = {}): Workflow<EmbedCorpusInput, CommittedCorpus> {
  const { access = unrestrictedAccess, embedder = noEmbedder, retry } = resources;
  const prepare = defineStep({
    id: 'prepare',
    input: schemas.input,
    output: schemas.prepared,
    retry,
    run: (input, context) => prepareRequest(input, { access, embedder }, context),
  });
  const plan = defineStep({
    id: 'plan',
    input: schemas.prepared,
    output: schemas.planned,
    retry,
    run: (prepared, context) => planPrepared(prepared, { access }, context),
  });
  const embed = defineStep({
    id: 'embed',
    input: schemas.planned,
    output: schemas.embedded,
    retry,
    run: (planned, context) => embedPlanned(planned, { access, embedder }, context),
  });
  const commit = defineStep({
    id: 'commit',
    input: schemas.forEachResult,
    output: schemas.committed,
    retry,
    run: (result, context) => commitPrepared(result, { access }, context),
  });
  return defineWorkflow({ id: 'embed-corpus', version, input: schemas.input, identify: identifyCorpusRequest })
    .step(prepare)
    .step(plan)
    .forEach(embed, { fold: { initial: emptyTotal, add: addChunk } })
    .step(commit);
}

/** Raise it when a change makes other chunks, or other bytes of a shard. */
const version = '3';

async function noEmbedder(): Promise<never> {
  throw new TypeError('This process has no embedder: pass embedCorpusWorkflow({ embedder }).');
}
