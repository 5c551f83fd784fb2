import type { HubAnswer } from '../../hub/client.ts';
import { fetchThroughProxy } from './proxy.ts';

/** Servers that pass a request on more often are going in circles. */
const mostRedirects = 10;

/**
 * Follows redirects by hand. The hub sends large files from another server, which gives an ETag of its own: the one
 * that names the content (`X-Linked-Etag`) is in the hub's redirect. The token stays with the server that it was meant
 * for.
 */
export async function fetchThroughRedirects(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<HubAnswer> {
  let at = url;
  let sent = headers;
  let linkedEtag: string | undefined;
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const response = await fetchThroughProxy(at, { headers: sent, signal, redirect: 'manual' });
    linkedEtag ??= response.headers.get('x-linked-etag') ?? undefined;
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || location === null) {
      return { response, answeredBy: at, etag: linkedEtag ?? response.headers.get('etag') ?? undefined };
    }
    await response.body?.cancel();
    const next = new URL(location, at);
    if (!/^https?:$/u.test(next.protocol) || (at.startsWith('https:') && next.protocol === 'http:')) {
      throw new Error(`${new URL(at).origin} leads to ${next.origin}, which is not encrypted`);
    }
    if (next.origin !== new URL(at).origin) sent = withoutToken(sent);
    at = next.href;
  }
  throw new Error(`${url} leads from one address to another more than ${mostRedirects} times`);
}

function withoutToken(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'));
}
