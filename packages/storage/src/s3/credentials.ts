/**
 * Finds S3 credentials in the same places and the same order as AWS's tools: environment variables, web identity,
 * profile files, and the metadata of the container or the machine. Credentials are kept only in memory.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
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
import { textOfElement } from '../objects/xml.ts';

/** The credentials that requests are signed with. */
export interface Credentials extends Expiring {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** The entries of a profile. */
export type Profile = Readonly<Record<string, string>>;

/** Finds the credentials of an environment. @throws SentvecError `io-failed` when there are none */
export async function findCredentials(environment: Environment): Promise<Credentials> {
  for (const source of [fromEnvironment, fromWebIdentity, fromProfile, fromContainer, fromMachine]) {
    const credentials = await source(environment);
    if (credentials) return credentials;
  }
  const remedy =
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws/credentials; AWS machines and containers provide those of their role.';
  throw new SentvecError('io-failed', `There are no credentials for S3. ${remedy}`);
}

async function fromEnvironment(environment: Environment): Promise<Credentials | undefined> {
  const accessKeyId = environment['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'];
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: environment['AWS_SESSION_TOKEN'] || undefined };
}

/** Web identity of Kubernetes: exchanges a token of the cluster for credentials of a role. */
async function fromWebIdentity(environment: Environment): Promise<Credentials | undefined> {
  const file = environment['AWS_WEB_IDENTITY_TOKEN_FILE'];
  const role = environment['AWS_ROLE_ARN'];
  if (!file || !role) return undefined;
  const token = (await readSecret('S3', file)).trim();
  const region = environment['AWS_REGION'] || environment['AWS_DEFAULT_REGION'];
  const url = new URL(
    environment['AWS_ENDPOINT_URL_STS'] ||
      (region ? `https://sts.${region}.amazonaws.com` : 'https://sts.amazonaws.com'),
  );
  const body = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: role,
    RoleSessionName: environment['AWS_ROLE_SESSION_NAME'] || 'sentvec',
    WebIdentityToken: token,
  });
  const answer = await askForCredentials(url, { method: 'POST', body }, serviceTimeout);
  if (!answer.ok) throw sourceError(`the role ${role}`, `${url.host} returned ${answer.status}`);
  const text = await answer.text();
  const part = (name: string): string => {
    const value = textOfElement(text, name);
    if (value === undefined) throw sourceError(`the role ${role}`, `the response of ${url.host} has no ${name}`);
    return value;
  };
  return {
    accessKeyId: part('AccessKeyId'),
    secretAccessKey: part('SecretAccessKey'),
    sessionToken: part('SessionToken'),
    expires: Date.parse(part('Expiration')),
  };
}

/** The keys of a profile, or the output of its `credential_process`. */
async function fromProfile(environment: Environment): Promise<Credentials | undefined> {
  const profile = await readProfile(environment);
  const name = environment['AWS_PROFILE'];
  const { aws_access_key_id: accessKeyId, aws_secret_access_key: secretAccessKey } = profile;
  if (accessKeyId && secretAccessKey)
    return { accessKeyId, secretAccessKey, sessionToken: profile['aws_session_token'] };
  const program = profile['credential_process'];
  if (program) return fromProgram(program);
  const other = ['sso_session', 'sso_start_url', 'role_arn'].find((key) => profile[key]);
  if (name && (other || Object.keys(profile).length === 0)) {
    const problem = other
      ? `it has ${other}, which sentvec does not support`
      : 'it is neither in ~/.aws/config nor in ~/.aws/credentials';
    const remedy = 'Set keys or a credential_process in it, such as "aws configure export-credentials".';
    throw sourceError(`the profile ${name}`, `${problem}. ${remedy}`);
  }
  return undefined;
}

async function fromProgram(command: string): Promise<Credentials> {
  let printed: Readonly<Record<string, unknown>>;
  try {
    const shell = process.platform === 'win32' ? ['cmd', '/d', '/s', '/c'] : ['/bin/sh', '-c'];
    const { stdout } = await promisify(execFile)(shell[0]!, [...shell.slice(1), command]);
    printed = JSON.parse(stdout) as typeof printed;
  } catch (cause) {
    const failure = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    throw sourceError('the credential_process of the profile', `it failed${failure}. Run it in a shell to see why`);
  }
  return temporaryCredentials(printed, 'the credential_process of the profile', 'SessionToken');
}

/** Credentials of a container in ECS, or in Kubernetes with Pod Identity. */
async function fromContainer(environment: Environment): Promise<Credentials | undefined> {
  const relative = environment['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  const address = relative ? `http://169.254.170.2${relative}` : environment['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  if (!address) return undefined;
  const file = environment['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  const token = file ? (await readSecret('S3', file)).trim() : environment['AWS_CONTAINER_AUTHORIZATION_TOKEN'];
  const answer = await askForCredentials(
    new URL(address),
    { headers: token ? { authorization: token } : {} },
    metadataTimeout,
  );
  if (!answer.ok) throw sourceError('the container', `its metadata service returned ${answer.status}`);
  return temporaryCredentials(await answer.json(), 'the container', 'Token');
}

/** Credentials of an EC2 machine, from version 2 of its metadata service. Other machines have no such service. */
async function fromMachine(environment: Environment): Promise<Credentials | undefined> {
  if (environment['AWS_EC2_METADATA_DISABLED']?.toLowerCase() === 'true') return undefined;
  const endpoint = environment['AWS_EC2_METADATA_SERVICE_ENDPOINT'] || 'http://169.254.169.254';
  const at = (path: string): URL => new URL(`/latest/${path}`, endpoint);
  const lifetime = { 'x-aws-ec2-metadata-token-ttl-seconds': '21600' };
  const opened = await askForCredentials(at('api/token'), { method: 'PUT', headers: lifetime }, metadataTimeout).catch(
    () => undefined,
  );
  if (!opened?.ok) return undefined;
  const headers = { 'x-aws-ec2-metadata-token': await opened.text() };
  const roles = await askForCredentials(at('meta-data/iam/security-credentials/'), { headers }, metadataTimeout);
  const [role] = roles.ok ? (await roles.text()).trim().split('\n') : [];
  if (!role) return undefined;
  const answer = await askForCredentials(
    at(`meta-data/iam/security-credentials/${role}`),
    { headers },
    metadataTimeout,
  );
  if (!answer.ok)
    throw sourceError(`the role ${role} of this machine`, `its metadata service returned ${answer.status}`);
  return temporaryCredentials(await answer.json(), `the role ${role} of this machine`, 'Token');
}

function temporaryCredentials(answer: unknown, source: string, token: 'SessionToken' | 'Token'): Credentials {
  const { AccessKeyId, SecretAccessKey, Expiration, ...rest } = (answer ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof AccessKeyId !== 'string' || typeof SecretAccessKey !== 'string')
    throw sourceError(source, 'its output has no AccessKeyId and SecretAccessKey');
  const sessionToken = rest[token];
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: typeof sessionToken === 'string' ? sessionToken : undefined,
    expires: typeof Expiration === 'string' ? Date.parse(Expiration) : undefined,
  };
}

/**
 * Reads a profile from `~/.aws/config` and `~/.aws/credentials`: `AWS_PROFILE`, or else `default`. Empty if it is in
 * neither file.
 */
export async function readProfile(environment: Environment): Promise<Profile> {
  const name = environment['AWS_PROFILE'] || 'default';
  const home = join(environment['HOME'] || homedir(), '.aws');
  const files = [
    [environment['AWS_CONFIG_FILE'] || join(home, 'config'), name === 'default' ? name : `profile ${name}`],
    [environment['AWS_SHARED_CREDENTIALS_FILE'] || join(home, 'credentials'), name],
  ] as const;
  const profiles = await Promise.all(
    files.map(async ([file, section]) => sectionOf(await readFile(file, 'utf8').catch(() => ''), section)),
  );
  return Object.assign({}, ...profiles) as Profile;
}

/** Parses a section of an INI file. Indented lines are nested settings and are skipped. */
function sectionOf(text: string, section: string): Profile {
  const entries: Record<string, string> = {};
  let isOurs = false;
  for (const line of text.split(/\r?\n/u)) {
    const header = /^\[\s*(.+?)\s*\]/u.exec(line)?.[1];
    if (header !== undefined) isOurs = header.replace(/\s+/u, ' ') === section;
    const entry = /^([^\s=#;[][^=]*?)\s*=\s*(.*?)\s*$/u.exec(line);
    if (isOurs && entry) entries[entry[1]!.toLowerCase()] = entry[2]!;
  }
  return entries;
}

function sourceError(source: string, problem: string): SentvecError {
  return credentialError('S3', source, problem);
}
