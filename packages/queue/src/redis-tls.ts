// TLS options for Redis: reads and checks the certificate files before a connection is opened.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type ConnectionOptions } from 'node:tls';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { guardIo } from '@sentvec/platform/node';

/**
 * The trusted authorities of a TLS connection, and the client certificate. Files are in PEM format. Messages and logs
 * contain only their names.
 */
export interface RedisTls {
  /**
   * File with the certificates of all trusted authorities.
   *
   * @default those that Node trusts: its own list, and `NODE_EXTRA_CA_CERTS`
   */
  readonly caFile?: string | undefined;
  /** File with the client certificate, if the server requires one. Requires `keyFile`. */
  readonly certFile?: string | undefined;
  /** File with the unencrypted private key of the client. Requires `certFile`. */
  readonly keyFile?: string | undefined;
  /**
   * Name for which the certificate of the server is issued. In a cluster, this applies to each node, because nodes
   * often announce only an IP address.
   *
   * @default the host of the URL, or the address by which a cluster announces a node
   */
  readonly serverName?: string | undefined;
}

const optionNames: OptionNames<RedisTls> = { caFile: true, certFile: true, keyFile: true, serverName: true };

/**
 * Reads and checks the files of the options.
 *
 * @param isSecure whether the URL has a TLS scheme
 * @returns options for `tls.connect` of Node; `undefined` if the URL has no TLS scheme
 * @throws SentvecError `invalid-argument` if the options contradict each other or the URL, or if a file has other
 * content; `io-failed`
 */
export async function readTls(tls: RedisTls, isSecure: boolean): Promise<ConnectionOptions | undefined> {
  checkOptionNames('tls', tls, optionNames);
  const { caFile, certFile, keyFile, serverName } = tls;
  const given = Object.entries({ caFile, certFile, keyFile, serverName }).find(([, value]) => value !== undefined);
  if (!isSecure) {
    if (given === undefined) return undefined;
    // Connecting without TLS would send data unencrypted, although the caller wanted to protect it.
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
    // Omit the cause, which may contain parts of the file.
    throw invalid(message);
  }
}

function invalid(message: string): SentvecError {
  return new SentvecError('invalid-argument', message);
}

/**
 * Returns the remedy for a TLS error; `undefined` for other errors.
 *
 * @param isSecure whether the URL has a TLS scheme. If so, a closed connection may mean that a client certificate is
 * missing, and a timeout that the server does not use TLS. @default false
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
