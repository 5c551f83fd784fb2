/**
 * Finds Azure credentials in the same places as Azure's tools: a connection string, the account's key, a shared access
 * signature, or a token of a service principal, of a cluster's workload identity, or of the machine's managed identity.
 * Credentials are kept only in memory.
 */
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

/** The endpoint, and one of the ways to authorize requests. */
export interface AzureCredentials extends Expiring {
  /** URL of the account's blob service, without a trailing slash. */
  readonly endpoint: string;
  /** The key that requests are signed with. */
  readonly key?: AccountKey | undefined;
  /** A shared access signature: query parameters for each request. */
  readonly sas?: string | undefined;
  readonly token?: string | undefined;
}

/** Name and key of an account. */
export interface AccountKey {
  readonly account: string;
  /** Base64. */
  readonly secret: string;
}

/** A token with its expiry time. */
interface Token extends Expiring {
  readonly token: string;
}

const store = 'Azure Blob Storage';
const resource = 'https://storage.azure.com/';

/** Finds the credentials of an environment. @throws SentvecError `io-failed` when there are none */
export async function findAzureCredentials(environment: Environment): Promise<AzureCredentials> {
  const string = parseConnectionString(environment['AZURE_STORAGE_CONNECTION_STRING'] ?? '');
  const account =
    string['accountname'] || environment['AZURE_STORAGE_ACCOUNT'] || environment['AZURE_STORAGE_ACCOUNT_NAME'];
  const own = string['blobendpoint'] || environment['AZURE_STORAGE_ENDPOINT'];
  const suffix = string['endpointsuffix'] || 'core.windows.net';
  const address = own || (account && `https://${account}.blob.${suffix}`);
  if (!address || !URL.canParse(address)) {
    const remedy = 'Set AZURE_STORAGE_ACCOUNT to its name, or AZURE_STORAGE_CONNECTION_STRING.';
    throw new SentvecError('io-failed', `az:// needs an account of ${store}. ${remedy}`);
  }
  const endpoint = address.replace(/\/+$/u, '');
  const secret = string['accountkey'] || environment['AZURE_STORAGE_KEY'] || environment['AZURE_STORAGE_ACCOUNT_KEY'];
  if (account && secret) return { endpoint, key: { account, secret } };
  const sas = string['sharedaccesssignature'] || environment['AZURE_STORAGE_SAS_TOKEN'];
  if (sas) return { endpoint, sas: sas.replace(/^\?/u, '') };
  for (const source of [fromPrincipal, fromWorkload, fromService, fromMachine]) {
    const token = await source(environment);
    if (token) return { endpoint, ...token };
  }
  const remedy =
    'Set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; Azure machines and clusters provide those of their managed identity.';
  throw new SentvecError('io-failed', `There are no credentials for ${store}. ${remedy}`);
}

/** Parses `Name=value;Name=value`; values may contain `=`. Returned names are in lower case. */
function parseConnectionString(text: string): Readonly<Record<string, string>> {
  const parts = text.split(';').map((part) => /^\s*([^=]+)=(.*)$/su.exec(part));
  return Object.fromEntries(parts.flatMap((part) => (part ? [[part[1]!.toLowerCase(), part[2]!.trim()]] : [])));
}

/** A service principal with a secret. */
async function fromPrincipal(environment: Environment): Promise<Token | undefined> {
  const secret = environment['AZURE_CLIENT_SECRET'];
  return secret ? exchange(environment, { client_secret: secret }, 'the service principal') : undefined;
}

/** Workload identity of Kubernetes: exchanges a token of the cluster for an Azure token. */
async function fromWorkload(environment: Environment): Promise<Token | undefined> {
  const file = environment['AZURE_FEDERATED_TOKEN_FILE'];
  if (!file) return undefined;
  const assertion = (await readSecret(store, file)).trim();
  const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  const fields = { client_assertion: assertion, client_assertion_type: type };
  return exchange(environment, fields, 'the workload identity');
}

async function exchange(
  environment: Environment,
  proof: Readonly<Record<string, string>>,
  source: string,
): Promise<Token> {
  const { AZURE_TENANT_ID: tenant, AZURE_CLIENT_ID: client } = environment;
  if (!tenant || !client) throw credentialError(store, source, 'AZURE_TENANT_ID and AZURE_CLIENT_ID are not both set');
  const authority = environment['AZURE_AUTHORITY_HOST'] || 'https://login.microsoftonline.com';
  const url = new URL(`${authority.replace(/\/+$/u, '')}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`);
  const fields = { grant_type: 'client_credentials', client_id: client, scope: `${resource}.default`, ...proof };
  const answer = await askForCredentials(url, { method: 'POST', body: new URLSearchParams(fields) }, serviceTimeout);
  if (!answer.ok) throw credentialError(store, source, `${url.host} answered ${answer.status}`);
  return readToken(await answer.json(), source);
}

/** Managed identity in App Service, Functions and Container Apps. */
async function fromService(environment: Environment): Promise<Token | undefined> {
  const { IDENTITY_ENDPOINT: address, IDENTITY_HEADER: secret } = environment;
  if (!address || !secret) return undefined;
  const url = identityUrl(address, '2019-08-01', environment);
  const answer = await askForCredentials(url, { headers: { 'x-identity-header': secret } }, serviceTimeout);
  const source = 'the managed identity';
  if (!answer.ok) throw credentialError(store, source, `its service returned ${answer.status}`);
  return readToken(await answer.json(), source);
}

/** Managed identity of a virtual machine, from its metadata service. Other machines have no such service. */
async function fromMachine(environment: Environment): Promise<Token | undefined> {
  const host = environment['AZURE_POD_IDENTITY_AUTHORITY_HOST'] || 'http://169.254.169.254';
  const url = identityUrl(`${host.replace(/\/+$/u, '')}/metadata/identity/oauth2/token`, '2018-02-01', environment);
  const headers = { metadata: 'true' };
  const answer = await askForCredentials(url, { headers }, metadataTimeout).catch(() => undefined);
  return answer?.ok ? readToken(await answer.json(), 'the managed identity of this machine') : undefined;
}

function identityUrl(address: string, version: string, environment: Environment): URL {
  const url = new URL(address);
  url.searchParams.set('api-version', version);
  url.searchParams.set('resource', resource);
  const client = environment['AZURE_CLIENT_ID'];
  if (client) url.searchParams.set('client_id', client);
  return url;
}

function readToken(answer: unknown, source: string): Token {
  const { access_token: token, expires_in: lifetime, expires_on: end } = (answer ?? {}) as Record<string, unknown>;
  if (typeof token !== 'string') throw credentialError(store, source, 'its response has no access_token');
  const seconds = Number(lifetime ?? Number(end) - Date.now() / 1000);
  return { token, expires: Date.now() + (Number.isFinite(seconds) ? seconds : 3600) * 1000 };
}
