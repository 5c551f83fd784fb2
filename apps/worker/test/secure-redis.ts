// Starts real Redis servers with TLS for tests, as a single server or a cluster, with newly created certificates.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, type RedisTls } from '@sentvec/queue';
import { freePort, startRedis, type RedisServer } from '@sentvec/testing';
import { generate } from 'selfsigned';

/** The only name in the server certificate. No server can be reached by this name. */
export const serverName = 'redis.sentvec.test';

/** {@link RedisTls} with all options set. */
export type FullTls = Readonly<Record<keyof RedisTls, string>>;

/** Paths of certificate and key files. */
export interface Certificates {
  /** The options of a client that the servers accept. */
  readonly tls: FullTls;
  /** A client whose certificate is signed by another authority. */
  readonly stranger: FullTls;
  /** TLS arguments for `redis-server`, without the port. */
  readonly serverArguments: readonly string[];
}

/**
 * Creates an authority, a server certificate and a client certificate signed by it, and a client certificate signed by
 * another authority.
 */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const authority = async (name: string) => {
    const pair = await generate([{ name: 'commonName', value: name }], {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, critical: true },
      ],
    });
    const sign = async (subject: string) => {
      const signed = await generate([{ name: 'commonName', value: subject }], {
        keyType: 'ec',
        algorithm: 'sha256',
        ca: { key: pair.private, cert: pair.cert },
        extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: subject }] }],
      });
      return {
        certFile: await file(`${subject}.pem`, signed.cert),
        keyFile: await file(`${subject}-key.pem`, signed.private),
      };
    };
    return { caFile: await file(`${name}.pem`, pair.cert), sign };
  };
  const [ours, theirs] = [await authority('ours'), await authority('theirs')];
  const server = await ours.sign(serverName);
  const files = { cert: server.certFile, key: server.keyFile, 'ca-cert': ours.caFile };
  return {
    tls: { caFile: ours.caFile, ...(await ours.sign('worker')), serverName },
    stranger: { caFile: theirs.caFile, ...(await theirs.sign('stranger')), serverName: 'redis.other.test' },
    serverArguments: Object.entries(files).flatMap(([name, path]) => [`--tls-${name}-file`, path]),
  };
}

/** A Redis that accepts only TLS clients with a trusted certificate. */
export interface SecureRedis extends RedisServer {
  /** `127.0.0.1:PORT`, over TLS. */
  readonly address: string;
}

export async function startSecureRedis(
  { serverArguments }: Certificates,
  more: readonly string[] = [],
): Promise<SecureRedis> {
  const port = await freePort();
  const server = await startRedis({
    arguments: ['--tls-port', String(port), ...serverArguments, '--tls-auth-clients', 'yes', ...more],
  });
  return { ...server, address: `127.0.0.1:${port}` };
}

/** A cluster with three primaries, and a replica of the primary that has the keys of a queue. */
export interface RedisCluster {
  /** URL `rediss+cluster://…` with the primaries. */
  readonly url: string;
  /** Promotes the replica to primary without data loss. */
  readonly failOver: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const slots = 16_384;

/** Starts a cluster that uses TLS for clients and between its nodes. */
export async function startSecureCluster(certificates: Certificates, queue: string): Promise<RedisCluster> {
  // The default port of the cluster bus is 10,000 higher, which may exceed the maximum port.
  const node = async () =>
    startSecureRedis(
      certificates,
      [
        '--cluster-enabled',
        'yes',
        '--tls-cluster',
        'yes',
        '--tls-replication',
        'yes',
        '--cluster-announce-ip',
        '127.0.0.1',
      ].concat(['--cluster-node-timeout', '5000', '--cluster-port'], String(await freePort())),
    );
  const nodes = [await node(), await node(), await node(), await node()];
  const connections = await Promise.all(nodes.map(({ url }) => connectRedis(url, 'watcher')));
  const call = async (index: number, ...words: (string | number)[]): Promise<string> =>
    String(await connections[index]!.call('CLUSTER', ...words));
  for (let index = 0; index < 3; index += 1) {
    const [first, last] = [index, index + 1].map((third) => Math.floor((third * slots) / 3));
    await call(index, 'ADDSLOTSRANGE', first!, last! - 1);
    await call(index, 'SET-CONFIG-EPOCH', index + 1);
  }
  const bus = async (index: number): Promise<string> =>
    (await call(index, 'NODES'))
      .split('\n')
      .find((line) => line.includes('myself'))!
      .split(/[@, ]/u)[2]!;
  for (const index of [1, 2, 3])
    await call(0, 'MEET', '127.0.0.1', nodes[index]!.address.split(':')[1]!, await bus(index));
  const owner = Math.min(2, Math.floor((Number(await call(0, 'KEYSLOT', `{${queue}}`)) * 3) / slots));
  const knows = async (index: number) => (await call(index, 'NODES')).trim().split('\n').length === 4;
  while (!(await knows(3)) || !(await knows(0))) await sleep(50);
  await call(3, 'REPLICATE', await call(owner, 'MYID'));
  const isReady = async (index: number) => (await call(index, 'INFO')).includes('cluster_state:ok');
  const isReplica = async () => (await connections[3]!.info('replication')).includes('master_link_status:up');
  while (!(await Promise.all([isReplica(), ...[0, 1, 2, 3].map(isReady)])).every(Boolean)) await sleep(50);
  return {
    url: `rediss+cluster://${nodes
      .slice(0, 3)
      .map(({ address }) => address)
      .join(',')}`,
    failOver: async () => {
      await call(3, 'FAILOVER');
      while (!(await connections[3]!.info('replication')).includes('role:master')) await sleep(20);
    },
    stop: async () => {
      for (const connection of connections) connection.disconnect();
      await Promise.all(nodes.map((each) => each.stop()));
    },
  };
}
