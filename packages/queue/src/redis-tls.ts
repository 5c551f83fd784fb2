// TLS between this process and Redis: the files that the options name, read and checked before anything connects.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type ConnectionOptions } from 'node:tls';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { guardIo } from '@sentvec/platform/node';

/** Whom a connection over TLS trusts, and who this client is. Files are PEM; messages and logs show only their names. */
export interface RedisTls {
  /**
   * File with the certificates of the authorities to trust, one after another.
   *
   * @default those that Node trusts: its own list, and `NODE_EXTRA_CA_CERTS`
   */
  readonly caFile?: string | undefined;
  /** File with the certificate of this client, for a server that wants one. Needs `keyFile`. */
  readonly certFile?: string | undefined;
  /** File with the private key of this client, not encrypted. Needs `certFile`. */
  readonly keyFile?: string | undefined;
  /**
   * The name that must be in the certificate of the server, and of each node of a cluster, whose nodes are often known by
   * address only.
   *
   * @default the host of the URL, or the address by which a cluster announces a node
   */
  readonly serverName?: string | undefined;
}

const optionNames: OptionNames<RedisTls> = { caFile: true, certFile: true, keyFile: true, serverName: true };

/**
 * Reads and checks the files of the options.
 *
 * @param isSecure whether the URL asks for TLS
 * @returns what Node takes; `undefined` when the URL does not ask for TLS
 * @throws SentvecError `invalid-argument` for options that do not fit together, or to the URL, and for files that hold
 *   something else; `io-failed`
 */
export async function readTls(tls: RedisTls, isSecure: boolean): Promise<ConnectionOptions | undefined> {
  checkOptionNames('tls', tls, optionNames);
  const { caFile, certFile, keyFile, serverName } = tls;
  const given = Object.entries({ caFile, certFile, keyFile, serverName }).find(([, value]) => value !== undefined);
  if (!isSecure) {
    if (given === undefined) return undefined;
    // Going on without TLS would send in the clear what somebody wanted to protect.
    throw invalid(
      `\`tls.${given[0]}\` is for a connection over TLS: the URL must begin with rediss:// or rediss+cluster://.`,
    );
  }
  if ((certFile === undefined) !== (keyFile === undefined))
    throw invalid(
      'A certificate of this client needs its key, and a key its certificate: give both `tls.certFile` and `tls.keyFile`.',
    );
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(readPem));
  if (caFile !== undefined)
    check(() => new X509Certificate(ca!), `${caFile} (\`tls.caFile\`) holds no certificate in PEM.`);
  if (certFile !== undefined && keyFile !== undefined) {
    check(() => new X509Certificate(cert!), `${certFile} (\`tls.certFile\`) holds no certificate in PEM.`);
    check(
      () => createPrivateKey(key!),
      `${keyFile} (\`tls.keyFile\`) holds no private key in PEM without a passphrase.`,
    );
    check(
      () => createSecureContext({ cert, key }),
      `The key in ${keyFile} is not that of the certificate in ${certFile}.`,
    );
  }
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert, key }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

async function readPem(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : guardIo('Reading', file, () => readFile(file, 'utf8'));
}

function check(parse: () => unknown, message: string): void {
  try {
    parse();
  } catch {
    // Without the cause, which may quote the file.
    throw invalid(message);
  }
}

function invalid(message: string): SentvecError {
  return new SentvecError('invalid-argument', message);
}

/**
 * What to do about an error of TLS; `undefined` for any other.
 *
 * @param isSecure whether the URL asks for TLS: then a connection that is closed may be the answer to a client without a
 *   certificate, and no answer that of a server without TLS @default false
 */
export function tlsHint(reason: string, isSecure = false): string | undefined {
  if (/altnames/.test(reason)) return 'Give the name that is in its certificate (`tls.serverName`).';
  if (/wrong version number|packet length too long/.test(reason) || (isSecure && /ETIMEDOUT|no answer/.test(reason)))
    return 'Is it running, and does it speak TLS on this port?';
  if (isSecure && /ECONNRESET|EPIPE|closed/.test(reason))
    return 'Perhaps it wants a certificate of this client that it trusts, and its key (`tls.certFile`, `tls.keyFile`).';
  if (/alert|handshake failure/.test(reason))
    return 'It does not accept this client: give a certificate that it trusts, and its key (`tls.certFile`, `tls.keyFile`).';
  if (/expired|not yet valid/.test(reason)) return 'Renew the certificate of the server, or set the clocks right.';
  if (/certificate/.test(reason))
    return 'Give the certificate of the authority that signed the one of the server (`tls.caFile`).';
  return undefined;
}
