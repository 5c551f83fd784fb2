/** The runtime of this process. */
import { silentLogger } from './attempt.ts';
import { LocalRun, LocalRunHandle, type LocalRunOptions } from './local-run.ts';
import { checkRunId, runId } from './run-id.ts';
import { checkInput } from './run-stages.ts';
import { hasEnded, type RunHandle, type RunStatus, type Runtime, type StartOptions } from './runtime.ts';
import type { Logger } from './step.ts';
import type { Workflow } from './workflow.ts';

/** Options of {@link inProcessRuntime}. */
export interface InProcessOptions {
  /**
   * Items in progress at once, for a `forEach` that does not say.
   * @default 2
   */
  readonly concurrency?: number | undefined;
  /** @default {@link silentLogger} */
  readonly logger?: Logger | undefined;
}

/** The most runs that can be found. Ended runs beyond it are forgotten, the oldest first. */
const maxRuns = 1000;

/** Runs workflows in this process: no Redis, no other process. Runs live as long as the process. */
export function inProcessRuntime({ concurrency = 2, logger = silentLogger }: InProcessOptions = {}): Runtime {
  return new InProcessRuntime({ concurrency, logger });
}

class InProcessRuntime implements Runtime {
  readonly name = 'in-process';
  readonly #options: LocalRunOptions;
  readonly #runs = new Map<string, LocalRun>();

  constructor(options: LocalRunOptions) {
    this.#options = options;
  }

  async start<Input, Output>(
    workflow: Workflow<Input, Output>,
    input: Input,
    options: StartOptions = {},
  ): Promise<RunHandle<Output>> {
    const checked = await checkInput(workflow, input);
    const id = checkRunId(options.id ?? runId(workflow.id, checked));
    let run = this.#runs.get(id);
    if (run) {
      if (run.state === 'failed' || run.state === 'cancelled') await run.replay();
    } else {
      this.#forgetOldRuns();
      run = new LocalRun(id, workflow, input, this.#options);
      this.#runs.set(id, run);
    }
    return new LocalRunHandle(run) as RunHandle<Output>;
  }

  async find(id: string): Promise<RunHandle | undefined> {
    const run = this.#runs.get(id);
    return run && new LocalRunHandle(run);
  }

  async list({ limit = 100 }: { limit?: number | undefined } = {}): Promise<readonly RunStatus[]> {
    const newest = [...this.#runs.values()].toReversed().slice(0, limit);
    return Promise.all(newest.map((run) => run.status()));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.cancel()));
  }

  #forgetOldRuns(): void {
    for (const [id, run] of this.#runs) {
      if (this.#runs.size < maxRuns) return;
      if (hasEnded(run.state)) this.#runs.delete(id);
    }
  }
}
