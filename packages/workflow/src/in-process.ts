import { SentvecError } from '@sentvec/core';
import { silentLogger } from './attempt.ts';
import { hasEnded, LocalRun, LocalRunHandle } from './local-run.ts';
import { runId } from './reference.ts';
import { checkInput } from './run-stages.ts';
import type { RunHandle, RunStatus, Runtime, StartOptions } from './runtime.ts';
import type { Logger } from './step.ts';
import type { Workflow } from './workflow.ts';

/** Options of {@link inProcessRuntime}. */
export interface InProcessOptions {
  /** Items of a `forEach` in progress at once, where it does not say itself. Default 2. */
  readonly concurrency?: number;
  /** Default: says nothing. */
  readonly logger?: Logger;
}

/** How many ended runs can still be found. */
const keptRuns = 1000;

/** Runs workflows in this process: no Redis, no other process. Runs live as long as the process. */
export function inProcessRuntime({ concurrency = 2, logger = silentLogger }: InProcessOptions = {}): Runtime {
  return new InProcessRuntime({ concurrency, logger });
}

class InProcessRuntime implements Runtime {
  readonly name = 'in-process';
  readonly #options: Required<InProcessOptions>;
  readonly #runs = new Map<string, LocalRun>();

  constructor(options: Required<InProcessOptions>) {
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

  async list({ limit = 100 }: { limit?: number } = {}): Promise<readonly RunStatus[]> {
    const newest = [...this.#runs.values()].toReversed().slice(0, limit);
    return Promise.all(newest.map((run) => run.status()));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.cancel()));
  }

  #forgetOldRuns(): void {
    for (const [id, run] of this.#runs) {
      if (this.#runs.size < keptRuns) return;
      if (hasEnded(run.state)) this.#runs.delete(id);
    }
  }
}

/** @throws SentvecError `invalid-argument` unless every runtime can use the id */
export function checkRunId(id: string): string {
  if (/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(id)) return id;
  throw new SentvecError(
    'invalid-argument',
    `"${id}" cannot be the id of a run: use up to 64 letters, digits, "-" and "_", beginning with a letter.`,
  );
}
