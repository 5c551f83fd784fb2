/** The workflow that embeds a corpus. */
import { describeChunk, type CorpusEmbedder } from '@sentvec/corpus';
import type { RetryPolicy } from '../retry.ts';
import { defineStep } from '../step.ts';
import { defineWorkflow, type Workflow } from '../workflow.ts';
import { unrestrictedAccess, type Access } from './access.ts';
import { commitPrepared, embedPlanned, identifyCorpusRequest, planPrepared, prepareRequest } from './corpus-steps.ts';
import { addChunk, emptyTotal, schemas, type CommittedCorpus, type EmbedCorpusInput } from './schemas.ts';

/**
 * Returns the loaded embedder of a model. It is called for every chunk, so it should cache embedders.
 *
 * `isolated` is set if a text of the chunk may have crashed earlier processes. The function may then return an embedder
 * that runs in a separate process, whose `embed` rejects with `backend-failed` if that process crashes.
 */
export type EmbedderOf = (
  model: string,
  options?: { readonly isolated?: boolean | undefined },
) => Promise<CorpusEmbedder>;

/**
 * Dependencies of {@link embedCorpusWorkflow} in a process that executes its steps. A process that only starts runs
 * needs none.
 */
export interface EmbedCorpusResources {
  readonly embedder?: EmbedderOf | undefined;
  /**
   * The access control of requests.
   * @default no restrictions
   */
  readonly access?: Access | undefined;
  /**
   * The retry policy of each step.
   * @default see {@link RetryPolicy}
   */
  readonly retry?: RetryPolicy | undefined;
}

/**
 * The workflow that embeds a corpus: prepare the output folder → plan (splits the inputs into chunks, lazily) → embed
 * each chunk → commit the manifest. It adapts the steps of `@sentvec/corpus` to runtimes. Without a runtime,
 * `embedCorpus` of that package executes the same steps in one process.
 *
 * Steps pass references; texts and vectors stay in files that all workers can access under the same path. The bytes of
 * the output do not depend on which worker computes them. Rows that cannot be embedded become dead letters and are
 * listed in the output; a replay embeds their chunks again. If the output folder has an unfinished run of the same
 * request, it is continued, unless `request.resume` is false.
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
    reference: ({ chunk }) => describeChunk(chunk),
    run: (planned, context) => embedPlanned(planned, { access, embedder }, context),
  });
  const commit = defineStep({
    id: 'commit',
    input: schemas.forEachResult,
    output: schemas.committed,
    retry,
    run: (result, context) => commitPrepared(result, { access }, context),
  });
  return defineWorkflow({
    id: 'embed-corpus',
    version,
    input: schemas.input,
    identify: identifyCorpusRequest,
    model: ({ model: name, fingerprint }) => ({ name, fingerprint }),
  })
    .step(prepare)
    .step(plan)
    .forEach(embed, { fold: { initial: emptyTotal, add: addChunk } })
    .step(commit);
}

/** Increase it when a change leads to other chunks or to other bytes of a shard. */
const version = '3';

async function noEmbedder(): Promise<never> {
  throw new TypeError('This process has no embedder: pass embedCorpusWorkflow({ embedder }).');
}
