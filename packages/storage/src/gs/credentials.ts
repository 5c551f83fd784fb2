/**
 * Finds credentials of Google Cloud Storage in the same places as Google's tools: HMAC keys and key files in
 * environment variables, the file of `gcloud auth application-default login`, and the metadata service of the machine.
 * Credentials are kept only in memory.
 */
import { createSign } from 'node:crypto';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';
import {
  askForCredentials,
  credentialError,
  metadataTimeout,
  readSecret,
  serviceTimeout,
  type Expiring,
} from '../objects/credential-cache.ts';

/** Credentials: an HMAC key that signs requests, a token, or none (for an emulator). */
export interface GoogleCredentials extends Expiring {
  readonly key?: HmacKey | undefined;
  readonly token?: string | undefined;
}

/** An HMAC key of the S3-compatible API. */
export interface HmacKey {
  readonly id: string;
  readonly secret: string;
}

const store = 'Google Cloud Storage';
const scope = 'https://www.googleapis.com/auth/devstorage.read_write';
const tokenService = 'https://oauth2.googleapis.com/token';

/** Finds the credentials of an environment. @throws SentvecError `io-failed` when there are none */
export async function findGoogleCredentials(environment: Environment): Promise<GoogleCredentials> {
  const { GS_ACCESS_KEY_ID: id, GS_SECRET_ACCESS_KEY: secret } = environment;
  if (id && secret) return { key: { id, secret } };
  const file = environment['GOOGLE_APPLICATION_CREDENTIALS'] || (await findDefaultFile(environment));
  if (file) return fromFile(file);
  if (environment['STORAGE_EMULATOR_HOST']) return {};
  const found = await fromMachine(environment);
  if (found) return found;
  const remedy =
    'Set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run "gcloud auth application-default login", or set GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY to an HMAC key; Google Cloud machines provide those of their service account.';
  throw new SentvecError('io-failed', `There are no credentials for ${store}. ${remedy}`);
}

/** Finds the file that `gcloud auth application-default login` writes. */
async function findDefaultFile(environment: Environment): Promise<string | undefined> {
  const home = environment['HOME'] || homedir();
  const folder =
    environment['CLOUDSDK_CONFIG'] ||
    (process.platform === 'win32' ? join(environment['APPDATA'] ?? home, 'gcloud') : join(home, '.config', 'gcloud'));
  const file = join(folder, 'application_default_credentials.json');
  return access(file).then(
    () => file,
    () => undefined,
  );
}

/** A key file of a service account or of a user. */
type KeyFile = Readonly<Record<string, unknown>>;

async function fromFile(file: string): Promise<GoogleCredentials> {
  const source = `the file ${file}`;
  let key: KeyFile;
  try {
    key = JSON.parse(await readSecret(store, file)) as KeyFile;
  } catch (error) {
    if (SentvecError.is(error)) throw error;
    throw credentialError(store, source, 'it is not JSON');
  }
  const field = (name: string): string => {
    const value = key[name];
    if (typeof value === 'string' && value !== '') return value;
    throw credentialError(store, source, `it has no ${name}`);
  };
  const service = typeof key['token_uri'] === 'string' ? key['token_uri'] : tokenService;
  if (key['type'] === 'service_account') {
    const assertion = signAssertion(field('client_email'), field('private_key'), service, source);
    return askForToken(service, source, { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion });
  }
  if (key['type'] === 'authorized_user')
    return askForToken(service, source, {
      grant_type: 'refresh_token',
      client_id: field('client_id'),
      client_secret: field('client_secret'),
      refresh_token: field('refresh_token'),
    });
  const type = JSON.stringify(key['type'])?.slice(0, 60) ?? 'none';
  throw credentialError(store, source, `its type is ${type}; sentvec supports "service_account" and "authorized_user"`);
}

/** Signs the JSON Web Token with which a service account requests an access token. */
function signAssertion(email: string, privateKey: string, audience: string, source: string): string {
  const now = Math.floor(Date.now() / 1000);
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { iss: email, scope, aud: audience, iat: now, exp: now + 3600 };
  const content = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`;
  try {
    return `${content}.${createSign('RSA-SHA256').update(content).sign(privateKey, 'base64url')}`;
  } catch {
    throw credentialError(store, source, 'its private_key cannot be read');
  }
}

async function askForToken(
  service: string,
  source: string,
  fields: Record<string, string>,
): Promise<GoogleCredentials> {
  const url = URL.canParse(service) ? new URL(service) : undefined;
  if (url === undefined) throw credentialError(store, source, 'its token_uri is not a URL');
  const answer = await askForCredentials(url, { method: 'POST', body: new URLSearchParams(fields) }, serviceTimeout);
  if (answer.ok) return readToken(await answer.json(), source);
  const { error } = ((await answer.json().catch(() => undefined)) ?? {}) as { readonly error?: unknown };
  const reason = typeof error === 'string' && /^\w{1,60}$/u.test(error) ? ` ${error}` : '';
  throw credentialError(store, source, `${url.host} answered ${answer.status}${reason}`);
}

function readToken(answer: unknown, source: string): GoogleCredentials {
  const { access_token: token, expires_in: lifetime } = (answer ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof token !== 'string') throw credentialError(store, source, 'its response has no access_token');
  return { token, expires: Date.now() + Number(lifetime ?? 3600) * 1000 };
}

/**
 * Service account of Compute Engine, GKE or Cloud Run, from the metadata service. Other machines have no such service.
 */
async function fromMachine(environment: Environment): Promise<GoogleCredentials | undefined> {
  if (environment['NO_GCE_CHECK']?.toLowerCase() === 'true') return undefined;
  const host = environment['GCE_METADATA_HOST'] || 'metadata.google.internal';
  const url = new URL(`http://${host}/computeMetadata/v1/instance/service-accounts/default/token`);
  const headers = { 'metadata-flavor': 'Google' };
  const answer = await askForCredentials(url, { headers }, metadataTimeout).catch(() => undefined);
  if (answer === undefined) return undefined;
  const source = 'the service account of this machine';
  if (!answer.ok) throw credentialError(store, source, `its metadata service returned ${answer.status}`);
  return readToken(await answer.json(), source);
}
