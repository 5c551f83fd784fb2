import { checkSchema, hasEnded } from '@sentvec/workflow';
import { UnrecoverableError, type Job } from 'bullmq';
import type { StageCheckpoint } from './batch-stage.ts';
import { jobSchemas, type BatchJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { checkJobSize, jobRefusedError } from './refused-jobs.ts';
import { refuseJob, type WorkerParts } from './worker-parts.ts';

/**
 * Processes the parent jobs of batches. They only complete; the coordinator reads the results that BullMQ stores in
 * them.
 */
export class BatchProcessor {
  readonly #parts: WorkerParts;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  readonly process = async (job: Job): Promise<null> => {
    try {
      checkJobSize(job.data);
      await checkSchema(jobSchemas.batch, job.data, 'The job');
      return null;
    } catch (error) {
      await refuseJob(this.#parts, queueNames.batches, job.id ?? '', jobRefusedError(error));
      await job.updateData({ refused: true });
      throw new UnrecoverableError('refused');
    }
  };

  /**
   * Removes a completed batch that no coordinator will remove, because the attempt is over or the checkpoint already
   * contains its results.
   */
  async completed(job: Job): Promise<void> {
    try {
      if (await this.#isLeftOver(job.data as BatchJob)) await job.remove();
    } catch (error) {
      this.#parts.logger.debug({ job: job.id, error }, 'a completed batch could not be removed');
    }
  }

  async #isLeftOver({ run, attempt, stage, batch }: BatchJob): Promise<boolean> {
    const position = await this.#parts.store.readPosition(run);
    if (!position || position.attempt !== attempt || hasEnded(position.state)) return true;
    const checkpoint = await this.#parts.store.checkpoint(run, stage);
    if (checkpoint === null) return false;
    const { batches, next } = JSON.parse(checkpoint) as StageCheckpoint;
    return batch < next && !batches.some(({ number }) => number === batch);
  }
}
