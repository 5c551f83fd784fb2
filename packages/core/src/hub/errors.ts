// Error responses of the hub: which requests are retried, and what the user can do about the others.
import { PassingFailure, retryAfter } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';

/** A request to the hub, and where its response came from. */
export interface HubExchange {
  /** Name of the repository. */
  readonly model: string;
  readonly revision: string;
  /** The requested file, if any. */
  readonly file?: string | undefined;
  /** The requested URL. */
  readonly url: string;
  /** The URL that responded, after redirects. */
  readonly finalUrl: string;
  readonly hasToken: boolean;
}

/** The error for an unsuccessful response. Cancels the body without reading it: error pages can be long. */
export async function responseError(response: Response, exchange: HubExchange): Promise<Error> {
  const { model, file, url } = exchange;
  // The query of a storage server's URL contains a signature, which must not appear in messages.
  const finalUrl = exchange.finalUrl.replace(/\?.*$/su, '');
  const { status, headers } = response;
  await response.body?.cancel().catch(() => {});
  const message = headers.get('x-error-message')?.slice(0, 300);
  const statusText = message ? `${status}: ${message.replace(/[.\s]+$/u, '')}` : String(status);
  // The signed URL of a storage server expires; the next request to the hub returns a new one.
  const expired = status === 403 && new URL(finalUrl).origin !== new URL(url).origin;
  if (expired || status === 408 || status === 425 || status === 429 || status >= 500) {
    return new PassingFailure(`${finalUrl} responded with ${statusText}`, retryAfter(headers));
  }
  if (status === 401 || status === 403) return accessDeniedError(exchange, status, statusText);
  if (status === 404 || status === 410) return notFoundError(exchange, headers.get('x-error-code'), statusText);
  const what = file === undefined ? `the model ${model}` : `${file} of the model ${model}`;
  return new SentvecError(
    'download-failed',
    `The hub does not provide ${what}: ${finalUrl} responded with ${statusText}.`,
    {
      file,
      status,
    },
  );
}

function accessDeniedError({ model, url, hasToken }: HubExchange, status: number, statusText: string): SentvecError {
  const { origin } = new URL(url);
  const remedy = hasToken
    ? `Accept the model's licence on ${origin}/${model} if it is gated, or set HF_TOKEN to the token of someone who may read it.`
    : `Check the name. If the model is private or gated, accept its licence on ${origin}/${model} and set HF_TOKEN to a token from ${origin}/settings/tokens.`;
  return new SentvecError(
    'model-access-denied',
    `The hub accessDeniedError access to the model ${model} (${statusText}). ${remedy}`,
    {
      model,
      status,
    },
  );
}

function notFoundError(
  { model, revision, url, file }: HubExchange,
  code: string | null,
  statusText: string,
): SentvecError {
  const { origin } = new URL(url);
  let what = `There is no model ${model} on ${origin}, or no revision ${revision} of it`;
  if (file !== undefined) what = `The model ${model} has no file ${file} at the revision ${revision}`;
  else if (code === 'RevisionNotFound') what = `The model ${model} has no revision ${revision}`;
  return new SentvecError('model-not-found', `${what} (${statusText}). Check the name and the revision.`, {
    model,
    revision,
    file,
  });
}
