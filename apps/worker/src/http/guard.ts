// Access to the HTTP server of a worker: checks tokens, cookies, host names, origins, and the size of bodies.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { getCookie, setCookie } from 'hono/cookie';
import { isLoopback } from '../configuration.ts';

const cookie = 'sentvec_token';

/**
 * Authorizes requests. With a token, a request must carry it: as a bearer token, in the cookie, or once as `?token=` in
 * a browser, which then gets the cookie. Without a token the server listens on this machine only, and accepts only
 * loopback host names, so that no web page can reach it by a name of its own (DNS rebinding).
 */
export function guard(token: string | undefined): MiddlewareHandler {
  return async (context, next) => {
    context.header('X-Content-Type-Options', 'nosniff');
    context.header('X-Frame-Options', 'DENY');
    context.header('Referrer-Policy', 'no-referrer');
    const { host, hostname } = new URL(context.req.url);
    const [, bearer] = /^Bearer +(.+)$/i.exec(context.req.header('Authorization') ?? '') ?? [];
    if (token === undefined) {
      // `GET http://other.example/` names the host in its first line, and may say something else in its header.
      const named = [hostname, hostnameOf(context.req.header('Host') ?? '')];
      if (!named.every((name) => isLoopback(name.replace(/^\[|\]$/g, ''))))
        return context.text('Call this server by localhost.\n', 421);
    } else if (!isToken(bearer, token) && !isToken(getCookie(context, cookie), token)) {
      const asked = context.req.query('token');
      if (context.req.method !== 'GET' || !isToken(asked, token)) {
        context.header('WWW-Authenticate', 'Bearer');
        return context.text('A token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN in a browser.\n', 401);
      }
      setCookie(context, cookie, asked, { httpOnly: true, sameSite: 'Strict', path: '/', secure: isSecure(context) });
      // A path that begins with two slashes would be another host.
      return context.redirect(`/${context.req.path.replace(/^[/\\]+/, '')}`);
    }
    if (!isSafe(context.req.method) && bearer === undefined && !isSameOrigin(context.req.header('Origin'), host)) {
      return context.text('Only the dashboard itself may do this.\n', 403);
    }
    return next();
  };
}

/** Refuses bodies over this many bytes. No request to a worker needs a large one. */
export const limitBody: MiddlewareHandler = bodyLimit({
  maxSize: 64 * 1024,
  onError: (context) => {
    // The rest of the body is not read.
    context.header('Connection', 'close');
    return context.text('The body of the request is too large.\n', 413);
  },
});

function hostnameOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
}

/** Whether the browser connected by TLS: to this server or, by the header of a proxy, to the proxy. */
function isSecure(context: Context): boolean {
  const forwarded =
    context.req.header('X-Forwarded-Proto') ?? /proto="?(\w+)/i.exec(context.req.header('Forwarded') ?? '')?.[1];
  return (forwarded?.split(',')[0] ?? new URL(context.req.url).protocol).trim().toLowerCase().startsWith('https');
}

/** Compares in constant time. */
function isToken(given: string | undefined, token: string): given is string {
  if (given === undefined) return false;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

/** Whether requests of a method change nothing. */
export function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

/**
 * Browsers send the origin of a request that changes something. Other programs send none, and run no pages of others.
 */
function isSameOrigin(origin: string | undefined, host: string): boolean {
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
}
