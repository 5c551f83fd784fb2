import { AbortScope } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';

/** The running calls of a model. Disposing the model aborts them. */
export class Calls {
  readonly #kind: string;
  readonly #running = new Set<AbortScope>();
  #disposal: Promise<void> | undefined;

  /** @param kind names the model in the error of calls after `dispose` */
  constructor(kind: 'embedder' | 'reranker') {
    this.#kind = kind;
  }

  /** @throws SentvecError `disposed` */
  checkAlive(): void {
    if (this.#disposal) throw this.#disposedError();
  }

  /** @throws SentvecError `disposed` */
  begin(signal: AbortSignal | undefined): AbortScope {
    this.checkAlive();
    const scope = new AbortScope(signal);
    this.#running.add(scope);
    return scope;
  }

  end(scope: AbortScope): void {
    this.#running.delete(scope);
    scope.close();
  }

  /** Aborts the running calls and disposes the parts. Further calls return the promise of the first. */
  dispose(parts: readonly { dispose(): Promise<void> }[]): Promise<void> {
    this.#disposal ??= this.#disposeAll(parts);
    return this.#disposal;
  }

  async #disposeAll(parts: readonly { dispose(): Promise<void> }[]): Promise<void> {
    for (const scope of this.#running) scope.abort(this.#disposedError());
    await Promise.all(parts.map((part) => part.dispose()));
  }

  #disposedError(): SentvecError {
    return new SentvecError('disposed', `This ${this.#kind} was disposed. Load the model again to use it.`);
  }
}
