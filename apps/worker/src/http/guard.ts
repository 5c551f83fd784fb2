// Access control of the worker's HTTP server: checks tokens, cookies, host names, origins, and body sizes.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { getCookie, setCookie } from 'hono/cookie';
import { isLoopback } from '../configuration.ts';

const cookie = 'sentvec_token';

/**
 * Authorizes requests. If a token is configured, a request must send it: as a bearer token, in a cookie, or in a
 * browser once as `?token=`, which sets the cookie. Without a token the server listens on loopback only, and accepts
 * only loopback host names, so that a web page cannot reach it through its own domain (DNS rebinding).
 */
export function guard(token: string | undefined): MiddlewareHandler {
  return async (context, next) => {
    context.header('X-Content-Type-Options', 'nosniff');
    context.header('X-Frame-Options', 'DENY');
    context.header('Referrer-Policy', 'no-referrer');
    const { host, hostname } = new URL(context.req.url);
    const [, bearer] = /^Bearer +(.+)$/i.exec(context.req.header('Authorization') ?? '') ?? [];
    if (token === undefined) {
      // `GET http://other.example/` names the host in the request line, and the Host header may name another: check
      // both.
      const named = [hostname, hostnameOf(context.req.header('Host') ?? '')];
      if (!named.every((name) => isLoopback(name.replace(/^\[|\]$/g, ''))))
        return context.text('Without a token, this server can only be reached as localhost.\n', 421);
    } else if (!isToken(bearer, token) && !isToken(getCookie(context, cookie), token)) {
      const asked = context.req.query('token');
      if (context.req.method !== 'GET' || !isToken(asked, token)) {
        context.header('WWW-Authenticate', 'Bearer');
        return context.text(
          'This server requires a token: send Authorization: Bearer TOKEN, or open ?token=TOKEN in a browser.\n',
          401,
        );
      }
      setCookie(context, cookie, asked, { httpOnly: true, sameSite: 'Strict', path: '/', secure: isSecure(context) });
      // A location that begins with two slashes would redirect to another host.
      return context.redirect(`/${context.req.path.replace(/^[/\\]+/, '')}`);
    }
    if (!isSafe(context.req.method) && bearer === undefined && !isSameOrigin(context.req.header('Origin'), host)) {
      return context.text('Only the dashboard may send this request: its origin must be this server.\n', 403);
    }
    return next();
  };
}

/** Refuses large request bodies: no request to a worker needs one. */
export const limitBody: MiddlewareHandler = bodyLimit({
  maxSize: 64 * 1024,
  onError: (context) => {
    // Close the connection, so that the rest of the body is not read.
    context.header('Connection', 'close');
    return context.text('The body of the request is too large.\n', 413);
  },
});

function hostnameOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
}

/** Whether the browser used TLS, either to this server or, according to the proxy's header, to a proxy. */
function isSecure(context: Context): boolean {
  const forwarded =
    context.req.header('X-Forwarded-Proto') ?? /proto="?(\w+)/i.exec(context.req.header('Forwarded') ?? '')?.[1];
  return (forwarded?.split(',')[0] ?? new URL(context.req.url).protocol).trim().toLowerCase().startsWith('https');
}

/** Compares the tokens in constant time. */
function isToken(given: string | undefined, token: string): given is string {
  if (given === undefined) return false;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

/** Whether requests with this method are safe, that is, change nothing. */
export function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

/**
 * Whether a request comes from this server's own pages. Browsers send the Origin header with every request that may
 * change something. Other clients do not send it and need no protection from foreign pages.
 */
function isSameOrigin(origin: string | undefined, host: string): boolean {
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
}
