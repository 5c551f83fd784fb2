/** Computes the texts that the calls of an embedder do not find in its cache. */
import { abortError, onAbort } from '@sentvec/platform';
import type { Embedder, EmbedOptions } from '../embedder/embedder-types.ts';
import type { CachedVector } from './vector-cache.ts';

/** Texts of several calls that are computed together. Of more, batches hardly become larger. */
const mostTexts = 512;

/** Groups that are computed at once, so that the encoder has work while one of them ends. */
const groupsAtOnce = 2;

/** The texts of a call. */
interface Request {
  readonly texts: readonly string[];
  readonly options: EmbedOptions;
  readonly resolve: (computed: ReadonlyMap<string, CachedVector>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Computes the few texts of several calls together: alone they make small batches, in which a text takes up to twice as
 * long. What a text gives does not depend on the others.
 */
export class MissingTexts {
  readonly #embedder: Embedder;
  #waiting: Request[] = [];
  #running = 0;

  constructor(embedder: Embedder) {
    this.#embedder = embedder;
  }

  /**
   * Computes texts.
   * @param options of the call; all calls have the same, but for `batchTokens`, `signal` and `onProgress`
   * @returns the vectors of these texts, perhaps among others
   * @throws SentvecError as `embedStream`
   */
  compute(texts: readonly string[], options: EmbedOptions): Promise<ReadonlyMap<string, CachedVector>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ texts, options, resolve, reject });
      this.#dispatch();
    });
  }

  #dispatch(): void {
    while (this.#running < groupsAtOnce && this.#waiting.length > 0) {
      this.#running += 1;
      void this.#run(this.#takeGroup()).finally(() => {
        this.#running -= 1;
        this.#dispatch();
      });
    }
  }

  #takeGroup(): Request[] {
    const [first, ...others] = this.#waiting;
    let texts = first!.texts.length;
    let end = 0;
    for (const { texts: more, options } of others) {
      if (options.batchTokens !== first!.options.batchTokens || texts + more.length > mostTexts) break;
      texts += more.length;
      end += 1;
    }
    return this.#waiting.splice(0, end + 1);
  }

  async #run(group: readonly Request[]): Promise<void> {
    const [first] = group;
    if (group.length === 1) return this.#runAlone(first!);
    const scope = new AbortController();
    let wanted = group.length;
    const stops = group.map(({ options: { signal } }) =>
      signal === undefined
        ? undefined
        : onAbort(signal, () => {
            if ((wanted -= 1) === 0) scope.abort(signal.reason);
          }),
    );
    try {
      const texts = [...new Set(group.flatMap((request) => request.texts))];
      const options = { ...first!.options, signal: scope.signal, onProgress: undefined };
      const computed = await computeTexts(this.#embedder, texts, options);
      for (const request of group) {
        const tokens = request.texts.reduce((sum, text) => sum + computed.get(text)!.tokens, 0);
        request.options.onProgress?.({ rows: request.texts.length, tokens });
        request.resolve(computed);
      }
    } catch {
      // One bad text must not fail the others, and the error must be about the texts of its call.
      for (const request of group) await this.#runAlone(request);
    } finally {
      for (const stop of stops) stop?.();
    }
  }

  async #runAlone({ texts, options, resolve, reject }: Request): Promise<void> {
    if (options.signal?.aborted) return reject(abortError(options.signal));
    await computeTexts(this.#embedder, texts, options).then(resolve, reject);
  }
}

async function computeTexts(
  embedder: Embedder,
  texts: readonly string[],
  options: EmbedOptions,
): Promise<Map<string, CachedVector>> {
  const computed = new Map<string, CachedVector>();
  if (texts.length === 0) return computed;
  for await (const each of embedder.embedStream(texts, { ...options, shareBatches: false })) {
    const { text, vector, tokens, length = 0 } = each;
    computed.set(text, { vector, tokens, cutFrom: length });
  }
  return computed;
}
