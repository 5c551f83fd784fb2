import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { goldenPath, startRedis, type RedisServer } from '@sentvec/testing';
import { embedCorpusWorkflow, inProcessRuntime } from '@sentvec/workflow';

/** The model of these tests: a small one with real weights. */
export const tinyModel: string = goldenPath('models/tiny-bert');

/** A line of a worker's log. */
export interface LogLine {
  readonly msg: string;
  readonly [fact: string]: unknown;
}

/** A worker process. */
export interface FleetWorker {
  readonly process: ChildProcess;
  /** URL of its HTTP server. */
  readonly url: string;
  readonly log: readonly LogLine[];
  /** Resolves to its exit code. */
  readonly ended: Promise<number | null>;
}

/** A Redis, a folder that workers may access, and worker processes. */
export class Fleet {
  readonly redis: RedisServer;
  readonly root: string;
  readonly workers: FleetWorker[] = [];

  private constructor(redis: RedisServer, root: string) {
    this.redis = redis;
    this.root = root;
  }

  static async open(redis?: RedisServer): Promise<Fleet> {
    return new Fleet(redis ?? (await startRedis()), await mkdtemp(join(tmpdir(), 'sentvec-fleet-')));
  }

  /**
   * Starts a worker, and waits until it accepts jobs.
   *
   * @param backend URL of a backend module
   */
  async start(environment: Readonly<Record<string, string>> = {}, backend?: string): Promise<FleetWorker> {
    const settings = {
      SENTVEC_REDIS_URL: this.redis.url,
      SENTVEC_ROOTS: this.root,
      SENTVEC_MODELS: tinyModel,
      SENTVEC_PORT: '0',
      SENTVEC_THREADS: '1',
      ...environment,
    };
    const program = [join(import.meta.dirname, '../chaos/worker.mjs'), ...(backend === undefined ? [] : [backend])];
    const started = spawn(process.execPath, program, {
      env: { ...process.env, ...settings },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    const log: LogLine[] = [];
    const ended = once(started, 'exit').then(([code]) => code as number | null);
    const url = await new Promise<string>((resolve, reject) => {
      createInterface({ input: started.stderr }).on('line', (line) => {
        const entry: LogLine = line.startsWith('{') ? (JSON.parse(line) as LogLine) : { msg: line };
        log.push(entry);
        if (entry.msg === 'serving') resolve(String(entry['url']));
      });
      void ended.then((code) =>
        reject(new Error(`The worker ended with ${code}:\n${log.map((entry) => JSON.stringify(entry)).join('\n')}`)),
      );
    });
    const worker = { process: started, url, log, ended };
    this.workers.push(worker);
    return worker;
  }

  /** Stops the workers gracefully. */
  async stopWorkers(): Promise<void> {
    const stopping = this.workers.splice(0);
    for (const { process: started } of stopping) started.kill('SIGTERM');
    await Promise.all(stopping.map(({ ended }) => ended));
  }

  async close(): Promise<void> {
    for (const { process: started } of this.workers) started.kill('SIGKILL');
    await Promise.all(this.workers.map(({ ended }) => ended));
    await this.redis.stop();
    await rm(this.root, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.root, name);
  }

  /** Writes a JSON Lines corpus, and returns its path. */
  async corpus(name: string, rows: readonly unknown[]): Promise<string> {
    await writeFile(this.path(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    return this.path(name);
  }
}

/** Embeds a corpus in this process. The workers must write the same files, byte for byte. */
export async function embedHere(
  corpus: string,
  output: string,
  chunkRows: number,
  { model = tinyModel, ...more }: { batchTokens?: number; model?: string } = {},
): Promise<void> {
  const embedder = await loadEmbedder(model, { backend: onnx({ sessions: 1, threadsPerSession: 1 }) });
  const here = inProcessRuntime();
  await (
    await here.start(embedCorpusWorkflow({ embedder: async () => embedder }), {
      model,
      request: { inputs: [corpus], output, chunkRows, ...more },
    })
  ).result();
  await embedder.dispose();
}

/** Returns distinct texts of different lengths. */
export function texts(count: number): { text: string }[] {
  const words =
    'the sea was calm that night and nobody on board had slept when a light rose out of the fog far ahead'.split(' ');
  return Array.from({ length: count }, (_, row) => ({
    text: `${row} ${words.slice(0, 3 + ((row * 7) % (words.length - 3))).join(' ')}`,
  }));
}

/** Reads every file of a folder, by name. */
export async function contents(folder: string): Promise<Map<string, string>> {
  const names = (await readdir(folder)).sort();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'base64')] as const)),
  );
}

/** Reads every file of an output folder, without the content hash that replaced files have in their names. */
export async function plainContents(output: string): Promise<Map<string, string>> {
  const plain = (text: string): string => text.replaceAll(/\b(shard-\d+|rejected)\.[0-9a-f]{16}\./gu, '$1.');
  const found = [...(await contents(output))].map(([name, content]) => [
    plain(name),
    name === 'manifest.json' ? plain(Buffer.from(content, 'base64').toString()) : content,
  ]);
  return new Map(found as [string, string][]);
}
