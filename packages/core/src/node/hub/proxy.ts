import type { ProxyAgent } from 'undici';

/** Agents keyed by the URL of their proxy, so that connections are reused. */
const agents = new Map<string, ProxyAgent>();

/**
 * `fetch` through the proxy that the environment sets for a URL (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`). The built-in
 * `fetch` of Node 20 ignores these variables.
 */
export async function fetchThroughProxy(url: string, init: RequestInit): Promise<Response> {
  const { getProxyForUrl } = await import('proxy-from-env');
  const proxy = getProxyForUrl(url);
  if (proxy === '') return fetch(url, init);
  const undici = await import('undici');
  const dispatcher = agents.get(proxy) ?? new undici.ProxyAgent(proxy);
  agents.set(proxy, dispatcher);
  const response: unknown = await undici.fetch(url, { ...(init as object), dispatcher });
  return response as Response;
}
