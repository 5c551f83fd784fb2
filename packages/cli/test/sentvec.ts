import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, vi } from 'vitest';

// Each command starts a separate process, which is slow on a machine under load, so the timeouts are long.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

/** Path of the built command. */
export const program: string = fileURLToPath(new URL('../bin/sentvec.mjs', import.meta.url));

/** The output and exit code of a command. */
export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A temporary folder for one test file, in which commands run. It is deleted at the end. */
export class Workplace {
  directory = '';

  constructor() {
    beforeAll(async () => {
      this.directory = await mkdtemp(join(tmpdir(), 'sentvec-cli-'));
    });
    afterAll(() => rm(this.directory, { recursive: true, force: true }));
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  async write(name: string, content: string | Uint8Array): Promise<string> {
    await writeFile(this.path(name), content);
    return name;
  }

  /** Writes a JSON Lines file. */
  writeRows(name: string, rows: readonly object[]): Promise<string> {
    return this.write(name, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }

  /** Starts the built command. */
  start(words: readonly string[], environment: Readonly<Record<string, string>> = {}): ChildProcessWithoutNullStreams {
    return spawn(process.execPath, [program, ...words], { cwd: this.directory, env: this.#environment(environment) });
  }

  /** Starts the built command with a limit on file sizes. */
  startLimited(words: readonly string[], kibibytes: number): ChildProcessWithoutNullStreams {
    // ulimit counts blocks of 512 bytes.
    const script = `trap '' XFSZ; ulimit -f ${kibibytes * 2}; exec "$@"`;
    return spawn('sh', ['-c', script, 'sh', process.execPath, program, ...words], {
      cwd: this.directory,
      env: this.#environment({}),
    });
  }

  #environment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
    return { ...process.env, HF_HUB_OFFLINE: '1', NO_COLOR: '1', ...more };
  }

  /** Runs the built command to its end. `input` is its standard input. */
  async run(words: readonly string[], input = ''): Promise<Result> {
    const child = this.start(words);
    child.stdin.on('error', () => {}); // The command may exit before it has read all input.
    child.stdin.end(input);
    return finished(child);
  }

  /** Runs a command that must succeed. @returns its standard output */
  async succeed(words: readonly string[], input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.run(words, input);
    if (code !== 0) throw new Error(`sentvec ${words.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  async readLines<T>(name: string): Promise<T[]> {
    const text = await readFile(this.path(name), 'utf8');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T);
  }

  /** Reads the rows of all JSON Lines shards of an output folder. */
  async readVectors(folder: string): Promise<{ id: unknown; embedding: number[] }[]> {
    const shards = (await readdir(this.path(folder)))
      .filter((name) => name.endsWith('.jsonl') && name.startsWith('shard-'))
      .sort();
    return (
      await Promise.all(shards.map((name) => this.readLines<{ id: unknown; embedding: number[] }>(`${folder}/${name}`)))
    ).flat();
  }

  /** Finds the name of a file in an output folder by the parts before and after its content hash. */
  async listedName(folder: string, begin: string, ending: string): Promise<string> {
    const names = await readdir(this.path(folder));
    const name = names.find((each) => each.startsWith(`${begin}.`) && each.endsWith(ending));
    if (name === undefined) throw new Error(`${folder} has ${names.join(', ')}, and no ${begin}${ending}.`);
    return `${folder}/${name}`;
  }

  /** Returns the SHA-256 hash of every file in a folder, by name. */
  async hashes(folder: string): Promise<Record<string, string>> {
    const names = (await readdir(this.path(folder))).sort();
    const entries = names.map(async (name) => [
      name,
      createHash('sha256')
        .update(await readFile(join(this.path(folder), name)))
        .digest('hex'),
    ]);
    return Object.fromEntries(await Promise.all(entries)) as Record<string, string>;
  }
}

/** Waits until a command exits. */
export async function finished(child: ChildProcessWithoutNullStreams): Promise<Result> {
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => (output[stream] += text));
  }
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  return { code, ...output };
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  return Array.from(a).reduce((largest, x, index) => Math.max(largest, Math.abs(x - b[index]!)), 0);
}
