/** Requests to the hub: addresses, credentials, redirects, and retries. */
import { PassingFailure } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { failureOf, type HubExchange } from './errors.ts';
import { waitForHub, type RetryOptions } from './retry.ts';

/** An answer, from where redirects led. */
export interface HubAnswer {
  readonly response: Response;
  readonly answeredBy: string;
  /** The ETag that the hub itself gave, before it sent us elsewhere. */
  readonly etag: string | undefined;
}

/** Makes one request, follows redirects, and shows the `authorization` to no other server. */
type HubFetch = (url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<HubAnswer>;

/** Options of {@link HubClient}. */
export interface HubClientOptions extends RetryOptions {
  /** Address of the hub, without a slash at the end. */
  readonly endpoint: string;
  readonly token?: string | undefined;
  /** @default the global `fetch`, which follows redirects itself */
  readonly fetch?: HubFetch | undefined;
}

/** Bytes of the longest answer about a model. A page of a list has some 300 kB. */
const longestAnswer = 2 ** 24;

/** Milliseconds without an answer, or without a further piece of it, after which a request has failed. */
export const longestSilence = 30_000;

/** Asks the hub about one model. */
export class HubClient {
  readonly model: string;
  readonly options: HubClientOptions;

  constructor(model: string, options: HubClientOptions) {
    this.model = model;
    this.options = options;
  }

  /**
   * Asks once for the content of a file, from a byte on: the answer may begin at the first byte anyway (status
   * 200 instead of 206).
   * @param signal ends the request and the reading of its answer
   */
  async open(commit: string, file: string, from: number, signal: AbortSignal): Promise<HubAnswer> {
    const path = file.split('/').map(encodeURIComponent).join('/');
    const url = `${this.options.endpoint}/${this.model}/resolve/${encodeURIComponent(commit)}/${path}`;
    // The range and the size count the uncompressed bytes.
    const headers = { 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) };
    const answer = await this.#request(url, headers, signal);
    if (answer.response.ok || answer.response.status === 416) return answer;
    throw await failureOf(answer.response, this.#exchange(url, answer, commit, file));
  }

  /**
   * Asks about the model, again when that fails in a way that may pass.
   * @param url an address of the hub's interface
   * @param revision what is asked about, for the messages
   * @returns an answer of success, read to its end
   * @throws SentvecError `model-not-found`, `model-access-denied`, `download-failed`, `aborted`
   */
  async ask(url: string, revision: string): Promise<Response> {
    for (let failures = 1; ; failures++) {
      try {
        const answer = await this.#request(url, { accept: 'application/json' }, AbortSignal.timeout(longestSilence));
        if (!answer.response.ok) throw await failureOf(answer.response, this.#exchange(url, answer, revision));
        // Read here, so that a connection that breaks in the middle is tried again.
        return new Response(await this.#read(answer.response), { headers: answer.response.headers });
      } catch (error) {
        // No answer at all usually means that the network is off, not the hub: report that after few attempts.
        const { retries, signal } = this.options;
        const allowed = error instanceof PassingFailure ? retries : Math.min(retries, 2);
        await waitForHub(error, failures, `Asking ${new URL(url).origin} about the model ${this.model}`, {
          retries: allowed,
          signal,
        });
      }
    }
  }

  /** An answer's content, up to a limit: a server may send without end. */
  async #read(response: Response): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    let length = 0;
    for (const reader = response.body!.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      text += decoder.decode(value, { stream: true });
      length += value.length;
      if (length <= longestAnswer) continue;
      await reader.cancel();
      throw this.notFromAHub(`has more than ${longestAnswer} bytes`);
    }
  }

  /** The error for an answer that no hub gives. */
  notFromAHub(problem: string, cause?: unknown): SentvecError {
    const { endpoint } = this.options;
    const message = `${endpoint} does not answer as a hub does: its answer about the model ${this.model} ${problem}. Is HF_ENDPOINT right, and is there a proxy in between?`;
    return new SentvecError('download-failed', message, { model: this.model }, { cause });
  }

  #request(url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HubAnswer> {
    const { endpoint, token, signal: callerSignal, fetch: request = fetchFollowing } = this.options;
    const isHub = new URL(url).origin === new URL(endpoint).origin;
    const authorized = token !== undefined && isHub ? { ...headers, authorization: `Bearer ${token}` } : headers;
    return request(url, authorized, callerSignal ? AbortSignal.any([callerSignal, signal]) : signal);
  }

  #exchange(url: string, { answeredBy }: HubAnswer, revision: string, file?: string): HubExchange {
    return { model: this.model, revision, file, url, answeredBy, hasToken: this.options.token !== undefined };
  }
}

const fetchFollowing: HubFetch = async (url, headers, signal) => {
  const response = await fetch(url, { headers, signal });
  const etag = response.headers.get('x-linked-etag') ?? response.headers.get('etag') ?? undefined;
  return { response, answeredBy: response.url || url, etag };
};
