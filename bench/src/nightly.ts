// Measures a nightly update: some rows of a corpus have changed, and `sentvec embed --update --cache` runs again. It
// measures the CPU time of all threads of the process, which does not depend on other programs.
import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { openEmbeddings } from '@sentvec/corpus';
import { uniform } from './random-numbers.ts';
import { printReport } from './report.ts';

const usage = `pnpm bench nightly [--rows N] [--changed SHARE] [--model MODEL] [--json]

Embeds a corpus, changes some of its rows at random, and compares the CPU time of embedding it again with that of
\`sentvec embed --update --cache\`. Both outputs must have the same shards.
--rows     default 20,000
--changed  the share of rows that change, default 0.01
--model    default: the default model of sentvec
--json     print JSON
`;

const vocabulary =
  'a again ahead battery calm did far fine fog high house light money night not price quality rain rose screen shop'.split(
    ' ',
  );

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '20000' },
    changed: { type: 'string', default: '0.01' },
    model: { type: 'string', default: 'use-lite' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main(Number(values.rows), Number(values.changed), values.model);

async function main(rows: number, changed: number, model: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sentvec-nightly-'));
  try {
    const [input, cache] = [join(folder, 'corpus.jsonl'), join(folder, 'cache')];
    const [output, anew] = [join(folder, 'vectors'), join(folder, 'anew')];
    const results: { name: string; seconds: number }[] = [];
    const embed = async (name: string, into: string, ...more: string[]): Promise<number> => {
      const seconds = await processorSeconds(folder, ['embed', input, '--id', 'id', '-m', model, '-o', into, ...more]);
      results.push({ name, seconds });
      return seconds;
    };
    await pipeline(Readable.from(lines(rows, 0)), createWriteStream(input));
    await embed('the first time, filling the cache', output, '--cache', cache);
    await pipeline(Readable.from(lines(rows, changed)), createWriteStream(input));
    const whole = await embed('anew, without a cache', anew);
    const update = await embed('--update --cache, some rows changed', output, '--update', '--cache', cache);
    await embed('--update --cache, nothing changed', output, '--update', '--cache', cache);
    const [one, other] = [await hashesOf(output), await hashesOf(anew)];
    if (one !== other) throw new Error('The updated output differs from that of a complete run.');
    const table = {
      header: ['processor time', 'seconds', 'of anew'],
      rows: results.map(({ name, seconds }) => [
        name,
        seconds.toFixed(1),
        name.startsWith('--update') ? `${((100 * seconds) / whole).toFixed(1)} %` : '',
      ]),
    };
    const method = `${rows} rows, ${100 * changed} % changed`;
    printReport({ method, tables: [table], results: { results, ratio: update / whole } }, values.json);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function hashesOf(directory: string): Promise<string> {
  const { manifest } = await openEmbeddings(directory);
  return manifest.shards.map(({ sha256 }) => sha256).join('\n');
}

/** Runs a command and returns its CPU time (user and system) in seconds. */
async function processorSeconds(folder: string, words: readonly string[]): Promise<number> {
  const cli = fileURLToPath(new URL('../../packages/cli/bin/sentvec.mjs', import.meta.url));
  const [reporter, report] = [join(folder, 'report.mjs'), join(folder, 'report.json')];
  const source = `import { writeFileSync } from 'node:fs';
process.on('exit', () => writeFileSync(${JSON.stringify(report)}, JSON.stringify(process.cpuUsage())));`;
  await writeFile(reporter, source);
  await promisify(execFile)(process.execPath, ['--import', pathToFileURL(reporter).href, cli, ...words]);
  const { user, system } = JSON.parse(await readFile(report, 'utf8')) as NodeJS.CpuUsage;
  return (user + system) / 1e6;
}

/** Returns rows of 4 to 20 words. Each changed row has an additional sentence. */
function* lines(rows: number, changed: number): Generator<string> {
  const random = uniform(1);
  const choose = uniform(2);
  for (let row = 0; row < rows; row += 1) {
    const count = 4 + Math.floor(17 * random());
    const some = Array.from({ length: count }, () => vocabulary[Math.floor(vocabulary.length * random())]);
    const text = `${row} ${some.join(' ')}${choose() < changed ? '. It has changed since' : ''}`;
    yield `${JSON.stringify({ id: `r${row}`, text })}\n`;
  }
}
