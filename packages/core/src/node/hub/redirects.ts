import type { HubResponse } from '../../hub/client.ts';
import { fetchThroughProxy } from './proxy.ts';

/** More redirects than this are treated as a loop. */
const maxRedirects = 10;

/**
 * Follows redirects manually, for two reasons. The hub redirects large files to another server with a different ETag;
 * the content hash is in the `X-Linked-Etag` header of the redirect itself. And the token must not be sent to another
 * server.
 */
export async function fetchThroughRedirects(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<HubResponse> {
  let at = url;
  let sent = headers;
  let linkedEtag: string | undefined;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await fetchThroughProxy(at, { headers: sent, signal, redirect: 'manual' });
    linkedEtag ??= response.headers.get('x-linked-etag') ?? undefined;
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) {
      return { response, finalUrl: at, etag: linkedEtag ?? response.headers.get('etag') ?? undefined };
    }
    await response.body?.cancel();
    const next = new URL(location, at);
    if (!/^https?:$/u.test(next.protocol) || (at.startsWith('https:') && next.protocol === 'http:')) {
      throw new Error(`${new URL(at).origin} redirects to ${next.origin}, which is not encrypted`);
    }
    if (next.origin !== new URL(at).origin) sent = withoutToken(sent);
    at = next.href;
  }
  throw new Error(`${url} redirects more than ${maxRedirects} times`);
}

function withoutToken(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'));
}
