import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { isLoopback } from '../configuration.ts';

const cookie = 'sentvec_token';

/**
 * Lets only those in who may. With a token: who carries it, as a bearer, in the cookie, or once as `?token=` in a
 * browser, which then gets the cookie. Without one the server listens on this machine alone; then only its own names
 * count, so that no web page can reach it under another.
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
      return context.text('This must come from the dashboard itself.\n', 403);
    }
    return next();
  };
}

function hostname(host: string): string {
  return host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '');
}

/** Compares in a time that says nothing about the token. */
function isToken(given: string | undefined, token: string): given is string {
  if (given === undefined) return false;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

/**
 * Browsers say where a request that changes something comes from; other programs say nothing, and cannot be tricked.
 */
function isSameOrigin(origin: string | undefined, host: string): boolean {
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
}
