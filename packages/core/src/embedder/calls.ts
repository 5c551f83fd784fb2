import { AbortScope } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';

/** The calls of a model that are under way. Disposing of the model ends them. */
export class Calls {
  readonly #kind: string;
  readonly #running = new Set<AbortScope>();
  #disposal: Promise<void> | undefined;

  /** @param kind what the model is, for the error of later calls */
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

  /** Ends what runs, and disposes of the parts, once. */
  dispose(parts: readonly { dispose(): Promise<void> }[]): Promise<void> {
    this.#disposal ??= this.#disposeAll(parts);
    return this.#disposal;
  }

  async #disposeAll(parts: readonly { dispose(): Promise<void> }[]): Promise<void> {
    for (const scope of this.#running) scope.abort(this.#disposedError());
    await Promise.all(parts.map((part) => part.dispose()));
  }

  #disposedError(): SentvecError {
    return new SentvecError('disposed', `This ${this.#kind} was disposed. Load the model again to go on.`);
  }
}
