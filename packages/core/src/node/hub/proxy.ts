import type { ProxyAgent } from 'undici';

/** Agents by the address of their proxy, so that connections are used again. */
const agents = new Map<string, ProxyAgent>();

/**
 * `fetch` through the proxy that the environment names for an address (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), which
 * that of Node 20 does not look at.
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
