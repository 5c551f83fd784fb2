// Tests the files for Docker, Compose, Kubernetes and systemd: the fields of each format (as far as these files use
// them), and the commands, variables, ports, paths and metrics of the worker.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { readConfiguration } from '@sentvec/worker';
import { settings } from '@sentvec/worker/settings';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { parse, parseAllDocuments } from 'yaml';
import { Fleet, type FleetWorker } from './fleet.ts';

const root = join(import.meta.dirname, '../../..');
const deploy = join(import.meta.dirname, '../deploy');
const read = (file: string): string => readFileSync(join(deploy, file), 'utf8');
const token = 'sixteen characters';

/** Reads the worker configuration from environment variables. Each `SENTVEC_…` variable must exist. */
function configurationOf(environment: Readonly<Record<string, string>>) {
  const known = Object.values(settings).map(({ variable }) => variable);
  const own = Object.keys(environment).filter((name) => name.startsWith('SENTVEC_'));
  expect(known).toEqual(expect.arrayContaining(own));
  return readConfiguration({}, environment);
}

/** The stop timeout of the supervisor must be longer than that of the worker. */
function expectGrace(seconds: number, stopTimeout: number): void {
  expect(seconds).toBeGreaterThanOrEqual(stopTimeout / 1000 + 5);
}

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const name = v.pipe(v.string(), v.regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/));
const quantity = v.pipe(v.string(), v.regex(/^\d+(\.\d+)?(m|[KMGT]i?)?$/));
const percent = v.pipe(v.string(), v.regex(/^\d+%$/));
const labels = v.record(v.string(), v.string());
const metadata = v.strictObject({ name, labels: v.optional(labels) });
const selector = v.strictObject({ matchLabels: labels });
const secretKey = v.strictObject({ name, key: v.string() });

describe('the image', () => {
  const lines = read('Dockerfile')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ word: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }));
  const last = (word: string): string => lines.findLast((line) => line.word === word)!.rest;

  it('has valid Docker instructions and copies existing files', () => {
    const instructions = 'FROM WORKDIR COPY ENV RUN USER VOLUME EXPOSE HEALTHCHECK STOPSIGNAL ENTRYPOINT CMD'.split(
      ' ',
    );
    expect(instructions).toEqual(expect.arrayContaining(lines.map(({ word }) => word)));
    const copied = lines.filter(({ word, rest }) => word === 'COPY' && !rest.includes('--from=') && rest !== '. .');
    expect(copied).toHaveLength(1);
    for (const { rest } of copied) {
      const source = rest.split(' ').find((part) => !part.startsWith('--'));
      expect(existsSync(join(root, source!))).toBe(true);
    }
    const ignored = read('Dockerfile.dockerignore').split('\n');
    expect(ignored).toContain('**/node_modules');
    expect(ignored).not.toContain('apps');
  });

  it('runs the command as an unprivileged user, on a supported version of Node', () => {
    const [entry = '', ...more] = (JSON.parse(last('ENTRYPOINT')) as string[]).slice(1);
    expect(more).toEqual([]);
    expect(existsSync(join(root, 'packages/cli', relative('/sentvec', entry)))).toBe(true);
    expect(JSON.parse(last('CMD'))).toEqual(['worker']);
    expect(last('USER')).toBe('node');
    expect(last('STOPSIGNAL')).toBe('SIGTERM');
    expect(last('EXPOSE')).toBe(settings.port.default);
    const { engines } = JSON.parse(readFileSync(join(root, 'packages/cli/package.json'), 'utf8')) as {
      engines: { node: string };
    };
    for (const { rest } of lines.filter(({ word }) => word === 'FROM'))
      expect(rest).toMatch(new RegExp(`^node:${/\d+/.exec(engines.node)![0]}-`));
    configurationOf(
      Object.fromEntries([...last('ENV').matchAll(/(\w+)=(\S+)/g)].map(([, key, value]) => [key, value!])),
    );
  });

  it('has a health check that queries the worker', () => {
    expect(last('HEALTHCHECK')).toMatch(/CMD \["node", "\/sentvec\/probe.mjs", "\/healthz"\]$/);
  });
});

describe('Compose', () => {
  const text = v.string();
  const service = v.strictObject({
    image: text,
    build: v.optional(v.strictObject({ context: text, dockerfile: text })),
    command: v.optional(v.array(text)),
    depends_on: v.optional(v.record(text, v.strictObject({ condition: v.literal('service_healthy') }))),
    environment: v.optional(labels),
    healthcheck: v.optional(
      v.strictObject({ test: v.array(text), interval: text, timeout: text, retries: v.number() }),
    ),
    volumes: v.optional(v.array(text)),
    ports: v.optional(v.array(v.pipe(text, v.regex(/^127\.0\.0\.1:\d+(-\d+)?:\d+$/)))),
    restart: v.literal('unless-stopped'),
    stop_grace_period: v.optional(v.pipe(text, v.regex(/^\d+s$/))),
    init: v.optional(v.boolean()),
    read_only: v.optional(v.boolean()),
    tmpfs: v.optional(v.array(text)),
    cap_drop: v.optional(v.array(text)),
    security_opt: v.optional(v.array(text)),
  });
  const schema = v.strictObject({
    services: v.strictObject({ redis: service, worker: service }),
    volumes: v.record(text, v.strictObject({})),
  });

  it('has valid Compose fields, a durable Redis, and valid worker settings', () => {
    const { services, volumes } = v.parse(schema, parse(read('compose.yaml')));
    const { redis, worker } = services;
    const environment = { ...worker.environment, SENTVEC_TOKEN: token };
    const { stopTimeout, redis: url, port } = configurationOf(environment);
    expectGrace(Number.parseInt(worker.stop_grace_period!), stopTimeout);
    expect(new URL(url).hostname).toBe('redis');
    expect(worker.depends_on).toHaveProperty('redis');
    expect(redis.healthcheck).toBeDefined();
    expect(redis.command?.join(' ')).toBe('redis-server --appendonly yes --maxmemory-policy noeviction');
    expect(worker.ports![0]).toMatch(new RegExp(`:${port}$`));
    expect(existsSync(join(deploy, worker.build!.context, worker.build!.dockerfile))).toBe(true);
    const named = [...redis.volumes!, ...worker.volumes!].filter((mounted) => /^\w+:/.test(mounted));
    expect(named.map((mounted) => mounted.split(':')[0])).toEqual(Object.keys(volumes));
    expect(worker.environment!['SENTVEC_TOKEN']).toMatch(/^\$\{SENTVEC_TOKEN:\?/);
  });
});

describe('Kubernetes', () => {
  const documentsOf = (file: string): unknown[] =>
    parseAllDocuments(read(`kubernetes/${file}`)).map((document) => {
      expect('errors' in document && document.errors).toEqual([]);
      return 'toJS' in document ? (document.toJS() as unknown) : undefined;
    });
  const probe = v.strictObject({
    exec: v.strictObject({ command: v.array(v.string()) }),
    periodSeconds: count,
    timeoutSeconds: count,
    failureThreshold: count,
  });
  const variable = v.strictObject({
    name: v.string(),
    value: v.optional(v.string()),
    valueFrom: v.optional(
      v.union([
        v.strictObject({ secretKeyRef: secretKey }),
        v.strictObject({
          resourceFieldRef: v.strictObject({ containerName: name, resource: v.literal('limits.cpu') }),
        }),
      ]),
    ),
  });
  const container = v.strictObject({
    name,
    image: v.string(),
    args: v.array(v.string()),
    env: v.array(variable),
    ports: v.array(v.strictObject({ name, containerPort: count })),
    startupProbe: probe,
    livenessProbe: probe,
    readinessProbe: probe,
    resources: v.strictObject({
      requests: v.strictObject({ cpu: quantity, memory: quantity }),
      limits: v.strictObject({ cpu: quantity, memory: quantity }),
    }),
    securityContext: v.strictObject({
      allowPrivilegeEscalation: v.literal(false),
      readOnlyRootFilesystem: v.literal(true),
      capabilities: v.strictObject({ drop: v.tuple([v.literal('ALL')]) }),
    }),
    volumeMounts: v.array(v.strictObject({ name, mountPath: v.string() })),
  });
  const pod = v.strictObject({
    terminationGracePeriodSeconds: count,
    automountServiceAccountToken: v.boolean(),
    securityContext: v.strictObject({
      runAsNonRoot: v.literal(true),
      runAsUser: count,
      runAsGroup: count,
      fsGroup: count,
      seccompProfile: v.strictObject({ type: v.literal('RuntimeDefault') }),
    }),
    containers: v.tuple([container]),
    volumes: v.array(v.strictObject({ name, emptyDir: v.strictObject({ sizeLimit: v.optional(quantity) }) })),
  });
  const deployment = v.strictObject({
    apiVersion: v.literal('apps/v1'),
    kind: v.literal('Deployment'),
    metadata,
    spec: v.strictObject({
      replicas: count,
      selector,
      strategy: v.strictObject({ rollingUpdate: v.strictObject({ maxUnavailable: percent, maxSurge: percent }) }),
      template: v.strictObject({ metadata: v.strictObject({ labels }), spec: pod }),
    }),
  });
  const budget = v.strictObject({
    apiVersion: v.literal('policy/v1'),
    kind: v.literal('PodDisruptionBudget'),
    metadata,
    spec: v.strictObject({ maxUnavailable: percent, selector }),
  });
  const monitor = v.strictObject({
    apiVersion: v.literal('monitoring.coreos.com/v1'),
    kind: v.literal('PodMonitor'),
    metadata,
    spec: v.strictObject({
      selector,
      podMetricsEndpoints: v.tuple([
        v.strictObject({
          port: name,
          path: v.literal('/metrics'),
          interval: v.string(),
          authorization: v.strictObject({ type: v.literal('Bearer'), credentials: secretKey }),
        }),
      ]),
    }),
  });
  const stabilization = v.strictObject({ stabilizationWindowSeconds: v.number() });
  const scaled = v.strictObject({
    apiVersion: v.literal('keda.sh/v1alpha1'),
    kind: v.literal('ScaledObject'),
    metadata,
    spec: v.strictObject({
      scaleTargetRef: v.strictObject({ name }),
      minReplicaCount: count,
      maxReplicaCount: count,
      pollingInterval: count,
      advanced: v.strictObject({
        horizontalPodAutoscalerConfig: v.strictObject({
          behavior: v.strictObject({ scaleUp: stabilization, scaleDown: stabilization }),
        }),
      }),
      triggers: v.tuple([
        v.strictObject({
          type: v.literal('prometheus'),
          metadata: v.strictObject({ serverAddress: v.string(), query: v.string(), threshold: v.string() }),
        }),
      ]),
    }),
  });
  const workers = () => v.parse(v.strictTuple([deployment, budget]), documentsOf('worker.yaml'));

  it('has valid fields, matching references between objects, and valid worker settings', () => {
    const [{ spec }, { spec: disruption }] = workers();
    const { template } = spec;
    const [{ env, ports, volumeMounts, args }] = template.spec.containers;
    expect(spec.selector.matchLabels).toEqual(template.metadata.labels);
    expect(disruption.selector).toEqual(spec.selector);
    const secrets: Record<string, string> = { 'redis-url': 'rediss://user:secret@redis.example:6380', token };
    const environment = env.map(({ name: variableName, value, valueFrom }) => {
      const secret = valueFrom && 'secretKeyRef' in valueFrom ? secrets[valueFrom.secretKeyRef.key] : undefined;
      return [variableName, value ?? secret ?? '2'] as const;
    });
    const { stopTimeout, port } = configurationOf(Object.fromEntries(environment));
    expectGrace(template.spec.terminationGracePeriodSeconds, stopTimeout);
    expect(ports).toEqual([{ name: 'http', containerPort: port }]);
    expect(args).toEqual(['worker']);
    expect(template.spec.volumes.map((volume) => volume.name)).toEqual(volumeMounts.map((mount) => mount.name));
  });

  it('scales the workers by the depth of the queue', () => {
    const [{ metadata: target, spec }] = workers();
    const [pods, scaling] = v.parse(v.strictTuple([monitor, scaled]), documentsOf('autoscaling.yaml'));
    const [worker] = spec.template.spec.containers;
    expect(pods.spec.selector).toEqual(spec.selector);
    const [{ port, authorization }] = pods.spec.podMetricsEndpoints;
    expect(worker.ports.map((each) => each.name)).toContain(port);
    expect(worker.env).toContainEqual({
      name: 'SENTVEC_TOKEN',
      valueFrom: { secretKeyRef: authorization.credentials },
    });
    expect(scaling.spec.scaleTargetRef.name).toBe(target.name);
    const concurrency = worker.env.find((each) => each.name === 'SENTVEC_CONCURRENCY')?.value;
    expect(scaling.spec.triggers[0].metadata.threshold).toBe(concurrency);
  });
});

describe('systemd', () => {
  const unit = read('systemd/sentvec-worker.service');
  const value = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)![1]!;
  const environment = Object.fromEntries(
    [...`${read('systemd/worker.env')}\n${value('Environment').replaceAll(' ', '\n')}`.matchAll(/^(\w+)=(.*)$/gm)].map(
      ([, key, setting]) => [key, setting!],
    ),
  );

  it('has valid worker settings, and a long enough stop timeout', () => {
    const { stopTimeout } = configurationOf(environment);
    expectGrace(Number(value('TimeoutStopSec')), stopTimeout);
    expect(value('ExecStart')).toMatch(/ sentvec worker$/);
    expect(value('KillSignal')).toBe('SIGTERM');
  });

  it.skipIf(process.platform !== 'linux')('is a unit that systemd understands', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sentvec-unit-'));
    try {
      // The sentvec command is not installed on this machine.
      const path = join(folder, 'sentvec-worker.service');
      await writeFile(path, unit.replace(/^ExecStart=.*$/m, `ExecStart=${process.execPath} worker`));
      const { status, stdout, stderr, error } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
      if (error) throw new Error(`This test needs systemd-analyze: apt-get install systemd. ${error.message}`);
      expect(`${stdout}${stderr}`).not.toMatch(/sentvec-worker/);
      expect(status).toBe(0);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('a worker as these files start it', () => {
  let fleet: Fleet;
  let worker: FleetWorker;
  beforeAll(async () => {
    fleet = await Fleet.open();
    worker = await fleet.start({ SENTVEC_TOKEN: token, SENTVEC_HOST: '0.0.0.0' });
  });
  afterAll(() => fleet.close());
  const probe = (path: string, environment: Readonly<Record<string, string>> = {}) =>
    spawnSync(process.execPath, [join(deploy, 'probe.mjs'), path], {
      env: { ...process.env, SENTVEC_PORT: new URL(worker.url).port, SENTVEC_TOKEN: token, ...environment },
      encoding: 'utf8',
    });

  it('passes its probes, and a probe fails if the worker is unhealthy', () => {
    for (const path of ['/healthz', '/readyz']) expect(probe(path)).toMatchObject({ status: 0, stdout: /^200 / });
    expect(probe('/readyz', { SENTVEC_TOKEN: 'of another worker' })).toMatchObject({ status: 1, stdout: /^401 / });
    expect(probe('/readyz', { SENTVEC_PORT: '1' })).toMatchObject({ status: 1, stdout: /^No answer: / });
  });

  it('exports the metric by which it is scaled', async () => {
    const answer = await fetch(`${worker.url.replace('0.0.0.0', '127.0.0.1')}/metrics`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const metrics = await answer.text();
    const { query } = (
      parseAllDocuments(read('kubernetes/autoscaling.yaml'))[1]!.toJS() as {
        spec: { triggers: [{ metadata: { query: string } }] };
      }
    ).spec.triggers[0].metadata;
    const [, metric, states] = /(\w+)\{state=~"([\w|]+)"\}/.exec(query)!;
    for (const state of states!.split('|')) expect(metrics).toContain(`\n${metric}{state="${state}"} 0\n`);
  });
});
