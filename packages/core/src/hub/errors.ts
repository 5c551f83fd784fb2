// The errors of the hub: which requests are worth another attempt, and what the user can do about the others.
import { PassingFailure, retryAfter } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';

/** What a request was for, and who answered. */
export interface HubExchange {
  /** Name of the repository. */
  readonly model: string;
  readonly revision: string;
  /** The file, where one was asked for. */
  readonly file?: string | undefined;
  /** Where the hub was asked. */
  readonly url: string;
  /** Where the answer came from, after redirects. */
  readonly answeredBy: string;
  readonly hasToken: boolean;
}

/** The error for an answer that is not the one that was asked for. Reads nothing of it: pages of errors can be long. */
export async function failureOf(response: Response, exchange: HubExchange): Promise<Error> {
  const { model, file, url } = exchange;
  // The address of a storage server is signed by its query.
  const answeredBy = exchange.answeredBy.replace(/\?.*$/su, '');
  const { status, headers } = response;
  await response.body?.cancel().catch(() => {});
  const message = headers.get('x-error-message')?.slice(0, 300);
  const said = message ? `${status}: ${message.replace(/[.\s]+$/u, '')}` : String(status);
  // The signed address of a storage server goes out of date; the next request to the hub gives a new one.
  const expired = status === 403 && new URL(answeredBy).origin !== new URL(url).origin;
  if (expired || status === 408 || status === 425 || status === 429 || status >= 500) {
    return new PassingFailure(`${answeredBy} answered ${said}`, retryAfter(headers));
  }
  if (status === 401 || status === 403) return denied(exchange, status, said);
  if (status === 404 || status === 410) return notFound(exchange, headers.get('x-error-code'), said);
  const what = file === undefined ? `the model ${model}` : `${file} of the model ${model}`;
  return new SentvecError('download-failed', `The hub does not give ${what}: ${answeredBy} answered ${said}.`, {
    file,
    status,
  });
}

function denied({ model, url, hasToken }: HubExchange, status: number, said: string): SentvecError {
  const { origin } = new URL(url);
  const remedy = hasToken
    ? `Accept the model's licence on ${origin}/${model} if it is gated, or set HF_TOKEN to the token of someone who may read it.`
    : `Check the name. If the model is private or gated, accept its licence on ${origin}/${model} and set HF_TOKEN to a token from ${origin}/settings/tokens.`;
  return new SentvecError('model-access-denied', `The hub gives no access to the model ${model} (${said}). ${remedy}`, {
    model,
    status,
  });
}

function notFound({ model, revision, url, file }: HubExchange, code: string | null, said: string): SentvecError {
  const { origin } = new URL(url);
  let what = `There is no model ${model} on ${origin}, or no revision ${revision} of it`;
  if (file !== undefined) what = `The model ${model} has no file ${file} at the revision ${revision}`;
  else if (code === 'RevisionNotFound') what = `The model ${model} has no revision ${revision}`;
  return new SentvecError('model-not-found', `${what} (${said}). Check the name and the revision.`, {
    model,
    revision,
    file,
  });
}
