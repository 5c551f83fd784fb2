/** The in-process runtime. */
import { checkCount, checkMaxFailed, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { silentLogger } from './attempt.ts';
import { LocalRun, LocalRunHandle, type LocalRunOptions } from './local-run.ts';
import { busyError, checkRunId, identifyRequest, newRunId, otherRequestError, type Request } from './request.ts';
import { checkInput, plainInput } from './run-stages.ts';
import { hasEnded, type RunHandle, type RunStatus, type Runtime, type StartOptions } from './runtime.ts';
import type { Logger } from './step.ts';
import type { AnyWorkflow, Workflow } from './workflow.ts';

/** Options of {@link inProcessRuntime}. */
export interface InProcessOptions {
  /**
   * Number of concurrent items of a `forEach` without its own `concurrency`.
   * @default 2
   */
  readonly concurrency?: number | undefined;
  /** @default {@link silentLogger} */
  readonly logger?: Logger | undefined;
}

const optionNames: OptionNames<InProcessOptions> = { concurrency: true, logger: true };

/** Maximum number of runs that are kept. When it is exceeded, the oldest ended runs are removed. */
const maxRuns = 1000;

/**
 * Creates a runtime that runs workflows in this process, without Redis. Runs exist as long as the process.
 *
 * @throws SentvecError `invalid-argument`
 */
export function inProcessRuntime(options: InProcessOptions = {}): Runtime {
  checkOptionNames('inProcessRuntime()', options, optionNames);
  const { concurrency = 2, logger = silentLogger } = options;
  checkCount(concurrency, 'concurrency');
  return new InProcessRuntime({ concurrency, logger });
}

class InProcessRuntime implements Runtime {
  readonly name = 'in-process';
  readonly #options: Pick<LocalRunOptions, 'concurrency' | 'logger'>;
  readonly #runs = new Map<string, LocalRun>();

  constructor(options: Pick<LocalRunOptions, 'concurrency' | 'logger'>) {
    this.#options = options;
  }

  async start<Input, Output>(
    workflow: Workflow<Input, Output>,
    input: Input,
    options: StartOptions = {},
  ): Promise<RunHandle<Output>> {
    if (options.maxFailed !== undefined) checkMaxFailed(options.maxFailed);
    const plain = plainInput(workflow, input);
    const checked = await checkInput(workflow, plain);
    const request = await identifyRequest(workflow, checked);
    // No await between finding and beginning a run, so that two concurrent starts give one run.
    const found = this.#findRun(request, options.id);
    const run = found ?? this.#begin(workflow, plain, request, options);
    if (hasEnded(run.state) && run.state !== 'completed') await run.replay();
    return new LocalRunHandle(run) as RunHandle<Output>;
  }

  /** Finds an existing run for a request. */
  #findRun(request: Request, id: string | undefined): LocalRun | undefined {
    if (id === undefined) return this.#live().find((run) => request.merges && run.request.content === request.content);
    const run = this.#runs.get(checkRunId(id));
    if (!run) return undefined;
    if (run.request.input !== request.input) throw otherRequestError(id, 'input');
    if (run.state === 'completed' && run.request.content !== request.content) throw otherRequestError(id, 'content');
    return run;
  }

  #begin(
    workflow: AnyWorkflow,
    input: unknown,
    request: Request,
    { id = newRunId(), maxFailed }: StartOptions,
  ): LocalRun {
    this.#forgetOldRuns();
    const mayBegin = (of: LocalRun): void => {
      for (const other of this.#live()) {
        const written =
          other === of ? undefined : of.request.writes.find((name) => other.request.writes.includes(name));
        if (written !== undefined) throw busyError(other.id, written);
      }
    };
    const run = new LocalRun(id, workflow, input, { ...this.#options, request, maxFailed, mayBegin });
    this.#runs.set(id, run);
    return run;
  }

  #live(): LocalRun[] {
    return [...this.#runs.values()].filter(({ state }) => !hasEnded(state));
  }

  async find(id: string): Promise<RunHandle | undefined> {
    const run = this.#runs.get(id);
    return run && new LocalRunHandle(run);
  }

  async list({ limit = 100 }: { limit?: number | undefined } = {}): Promise<readonly RunStatus[]> {
    checkCount(limit, 'limit');
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
