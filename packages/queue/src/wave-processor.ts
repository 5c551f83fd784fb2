import { checkSchema, hasEnded } from '@sentvec/workflow';
import { UnrecoverableError, type Job } from 'bullmq';
import { jobSchemas, type WaveJob } from './jobs.ts';
import { queueNames } from './names.ts';
import { asRefusal, checkJobSize } from './refusals.ts';
import type { StageCheckpoint } from './wave-stage.ts';
import { refuse, type WorkerParts } from './worker-parts.ts';

/**
 * Ends the parents of waves. There is nothing to do in them: the coordinator reads the results that BullMQ has put
 * there.
 */
export class WaveProcessor {
  readonly #parts: WorkerParts;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  readonly process = async (job: Job): Promise<null> => {
    try {
      checkJobSize(job.data);
      await checkSchema(jobSchemas.wave, job.data, 'The job');
      return null;
    } catch (error) {
      await refuse(this.#parts, queueNames.waves, job.id ?? '', asRefusal(error));
      await job.updateData({ refused: true });
      throw new UnrecoverableError('refused');
    }
  };

  /** Takes an ended wave away when no coordinator will: its round is over, or its items are folded already. */
  async completed(job: Job): Promise<void> {
    try {
      if (await this.#isLeftOver(job.data as WaveJob)) await job.remove();
    } catch (error) {
      this.#parts.logger.debug({ job: job.id, error }, 'a wave could not be taken away');
    }
  }

  async #isLeftOver({ run, round, stage, wave }: WaveJob): Promise<boolean> {
    const position = await this.#parts.store.readState(run);
    if (!position || position.round !== round || hasEnded(position.state)) return true;
    const checkpoint = await this.#parts.store.checkpoint(run, stage);
    if (checkpoint === null) return false;
    const { waves, next } = JSON.parse(checkpoint) as StageCheckpoint;
    return wave < next && !waves.some((announced) => announced.wave === wave);
  }
}
