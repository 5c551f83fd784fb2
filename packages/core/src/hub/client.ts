/** Requests to the hub: addresses, credentials, redirects, and retries. */
import { PassingFailure } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { responseError, type HubExchange } from './errors.ts';
import { waitForHub, type RetryOptions } from './retry.ts';

/** A response, with the address that it came from after redirects. */
export interface HubResponse {
  readonly response: Response;
  readonly finalUrl: string;
  /** The ETag of the hub's own response, before redirects to a storage server. */
  readonly etag: string | undefined;
}

/** Makes one request and follows redirects. Sends the `authorization` header only to the hub itself. */
type HubFetch = (url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<HubResponse>;

/** Options of {@link HubClient}. */
export interface HubClientOptions extends RetryOptions {
  /** Address of the hub, without a slash at the end. */
  readonly endpoint: string;
  readonly token?: string | undefined;
  /** @default the global `fetch`, which follows redirects itself */
  readonly fetch?: HubFetch | undefined;
}

/** The most bytes of a JSON response. A page of a file listing has about 300 kB. */
const maxResponseBytes = 2 ** 24;

/** Milliseconds without any received data after which a request fails. */
export const inactivityTimeout = 30_000;

/** Makes the hub's requests for one model. */
export class HubClient {
  readonly model: string;
  readonly options: HubClientOptions;

  constructor(model: string, options: HubClientOptions) {
    this.model = model;
    this.options = options;
  }

  /**
   * Requests the content of a file once, starting at byte `from`. A server may ignore the range and send the file from
   * its first byte (status 200 instead of 206).
   * @param signal cancels the request and the reading of the response
   */
  async open(commit: string, file: string, from: number, signal: AbortSignal): Promise<HubResponse> {
    const path = file.split('/').map(encodeURIComponent).join('/');
    const url = `${this.options.endpoint}/${this.model}/resolve/${encodeURIComponent(commit)}/${path}`;
    // Ranges and sizes refer to the uncompressed bytes.
    const headers = { 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) };
    const received = await this.#request(url, headers, signal);
    if (received.response.ok || received.response.status === 416) return received;
    throw await responseError(received.response, this.#exchange(url, received, commit, file));
  }

  /**
   * Sends a GET request about the model, and retries it after temporary failures.
   * @param url an address of the hub's API
   * @param revision the requested revision, for error messages
   * @returns a successful response, whose body has been received completely
   * @throws SentvecError `model-not-found`, `model-access-denied`, `download-failed`, `aborted`
   */
  async get(url: string, revision: string): Promise<Response> {
    for (let failures = 1; ; failures++) {
      try {
        const received = await this.#request(
          url,
          { accept: 'application/json' },
          AbortSignal.timeout(inactivityTimeout),
        );
        if (!received.response.ok)
          throw await responseError(received.response, this.#exchange(url, received, revision));
        // Read here, so that a connection that breaks in the middle is tried again.
        return new Response(await this.#read(received.response), { headers: received.response.headers });
      } catch (error) {
        // No response at all usually means that this machine is offline: report that after a few attempts.
        const { retries, signal } = this.options;
        const allowed = error instanceof PassingFailure ? retries : Math.min(retries, 2);
        await waitForHub(error, failures, `The request to ${new URL(url).origin} about the model ${this.model}`, {
          retries: allowed,
          signal,
        });
      }
    }
  }

  /** Reads the body of a response, up to a limit, since a wrong server could send an endless one. */
  async #read(response: Response): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    let length = 0;
    for (const reader = response.body!.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      text += decoder.decode(value, { stream: true });
      length += value.length;
      if (length <= maxResponseBytes) continue;
      await reader.cancel();
      throw this.invalidResponseError(`has more than ${maxResponseBytes} bytes`);
    }
  }

  /** The error for a response that no hub would send. */
  invalidResponseError(problem: string, cause?: unknown): SentvecError {
    const { endpoint } = this.options;
    const message = `${endpoint} does not respond like a hub: its response about the model ${this.model} ${problem}. Check HF_ENDPOINT and any proxy in between.`;
    return new SentvecError('download-failed', message, { model: this.model }, { cause });
  }

  #request(url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HubResponse> {
    const { endpoint, token, signal: callerSignal, fetch: request = fetchWithRedirects } = this.options;
    const isHub = new URL(url).origin === new URL(endpoint).origin;
    const authorized = token !== undefined && isHub ? { ...headers, authorization: `Bearer ${token}` } : headers;
    return request(url, authorized, callerSignal ? AbortSignal.any([callerSignal, signal]) : signal);
  }

  #exchange(url: string, { finalUrl }: HubResponse, revision: string, file?: string): HubExchange {
    return { model: this.model, revision, file, url, finalUrl, hasToken: this.options.token !== undefined };
  }
}

const fetchWithRedirects: HubFetch = async (url, headers, signal) => {
  const response = await fetch(url, { headers, signal });
  const etag = response.headers.get('x-linked-etag') ?? response.headers.get('etag') ?? undefined;
  return { response, finalUrl: response.url || url, etag };
};
