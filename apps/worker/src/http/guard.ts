import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
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
    const { host } = new URL(context.req.url);
    const [, bearer] = /^Bearer (.+)$/.exec(context.req.header('Authorization') ?? '') ?? [];
    if (token === undefined) {
      if (!isLoopback(hostname(context.req.header('Host') ?? '')))
        return context.text('Call this server by localhost.\n', 421);
    } else if (!isToken(bearer, token) && !isToken(getCookie(context, cookie), token)) {
      const asked = context.req.query('token');
      if (context.req.method !== 'GET' || !isToken(asked, token)) {
        context.header('WWW-Authenticate', 'Bearer');
        return context.text('A token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN in a browser.\n', 401);
      }
      setCookie(context, cookie, asked, { httpOnly: true, sameSite: 'Strict', path: '/' });
      return context.redirect(context.req.path);
    }
    if (!isSafe(context.req.method) && bearer === undefined && !isSameOrigin(context.req.header('Origin'), host)) {
      return context.text('Only the dashboard itself may do this.\n', 403);
    }
    return next();
  };
}

function hostname(host: string): string {
  return host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '');
}

/** Compares in constant time. */
function isToken(given: string | undefined, token: string): given is string {
  if (given === undefined) return false;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** Browsers send the origin of a request that changes something. Other programs send none, and run no foreign page. */
function isSameOrigin(origin: string | undefined, host: string): boolean {
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
}
