// Runs the tests with generated inputs on the full number of inputs; `npm test` uses fewer. See `npm run fuzz --
// --help`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './pnpm.mjs';
import { setUp } from './setup.mjs';

/** For each generator: the environment variable with the number of inputs for its test, and the full number. */
const generators = {
  folders: { variable: 'SENTVEC_FUZZ_FOLDERS', whole: 20_000, what: 'model folders with a fault' },
  tokenizers: { variable: 'SENTVEC_FUZZ_TOKENIZERS', whole: 5000, what: 'tokenizers' },
  corpora: { variable: 'SENTVEC_FUZZ_CORPORA', whole: 20_000, what: 'files of texts' },
  parquet: { variable: 'SENTVEC_FUZZ_PARQUET', whole: 2000, what: 'Parquet files' },
};

/** Tests print a line for each part of the inputs. A test that prints nothing for this long is considered hung. */
const longestSilence = 30 * 60_000;

const help = `Runs tests on generated inputs. No input may cause a crash, a hang, a raw error, a lost row or a wrong value.

  npm run fuzz -- [--only NAME…] [--seed N] [--count N]

  --only NAME…  these only: ${Object.keys(generators).join(', ')}
  --seed N      the first seed; equal seeds give equal inputs (default 0)
  --count N     so many inputs of each, instead of
${Object.entries(generators)
  .map(([name, { whole, what }]) => `                  ${name.padEnd(12)}${String(whole).padStart(6)} ${what}`)
  .join('\n')}

The whole takes an hour or two. A fault is shown with its seed: --only NAME --seed N --count 1 repeats it. Ctrl-C stops.
`;

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'boolean' },
        seed: { type: 'string', default: '0' },
        count: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    const names = values.only ? positionals : Object.keys(generators);
    const unknown = values.only ? names.find((name) => !Object.hasOwn(generators, name)) : positionals[0];
    if (unknown !== undefined)
      throw new Error(`The generator "${unknown}" does not exist. Choose from ${Object.keys(generators).join(', ')}.`);
    if (names.length === 0) throw new Error('--only requires the name of a generator.');
    const [seed, count] = [wholeNumber('--seed', values.seed, 0), wholeNumber('--count', values.count, 1)];
    return { help: values.help, names, seed, count };
  } catch (error) {
    console.error(`${error.message}\n\n${help}`);
    return process.exit(2);
  }
}

function wholeNumber(option, text, least) {
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
  throw new Error(`${option} must be a whole number from ${least}, not "${text}".`);
}

/** Returns the test files that read the variable. */
function testsOf(variable) {
  const files = ['packages', 'apps'].flatMap((room) =>
    readdirSync(join(root, room)).flatMap((name) =>
      filesBelow(join(room, name, 'test')).filter((file) => file.endsWith('.test.ts')),
    ),
  );
  return files.filter((file) => readFileSync(join(root, file), 'utf8').includes(variable));
}

function filesBelow(folder) {
  try {
    return readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, file));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Runs the tests of a generator. @returns the reason of a failure, or `undefined` if all pass */
async function runGenerator(name, seed, count) {
  const { variable, whole, what } = generators[name];
  const tests = testsOf(variable);
  if (tests.length === 0) return `no test reads ${variable}`;
  const number = count ?? whole;
  console.error(`\n── ${name}: ${number} ${what}, from seed ${seed}`);
  // Temporary folder of the tests. Removing it also removes the files that stopped tests leave behind.
  const folder = mkdtempSync(join(tmpdir(), 'sentvec-fuzz-'));
  const settings = { SENTVEC_FUZZ_SEED: String(seed), [variable]: String(number), TMPDIR: folder };
  const colors = { FORCE_COLOR: process.stdout.isTTY ? '1' : '0' };
  const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--reporter=verbose', ...tests], {
    cwd: root,
    env: { ...process.env, ...colors, ...settings },
    stdio: ['inherit', 'pipe', 'pipe'],
    // Start a new process group, so that child processes that hang can be killed too.
    detached: true,
  });
  return watch(child).finally(() => rmSync(folder, { recursive: true, force: true }));
}

function watch(child) {
  return new Promise((resolve) => {
    let reason;
    const stop = (why) => {
      reason ??= why;
      process.kill(-child.pid, 'SIGKILL');
    };
    const timer = setTimeout(
      () => stop(`no output for ${longestSilence / 60_000} minutes: the test hangs`),
      longestSilence,
    );
    const onInterrupt = () => stop('stopped');
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, onInterrupt);
    for (const stream of ['stdout', 'stderr'])
      child[stream].on('data', (chunk) => {
        timer.refresh();
        process[stream].write(chunk);
      });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      for (const name of ['SIGINT', 'SIGTERM']) process.off(name, onInterrupt);
      resolve(reason ?? (code === 0 ? undefined : `failed (${signal ?? `exit ${code}`})`));
    });
  });
}

const { help: isHelp, names, seed, count } = readArguments();
if (isHelp) {
  process.stdout.write(help);
} else {
  setUp();
  const results = [];
  for (const name of names) {
    const reason = await runGenerator(name, seed, count);
    results.push(`${name.padEnd(12)}${reason ?? 'passed'}`);
    if (reason !== undefined) process.exitCode = reason === 'stopped' ? 128 + constants.signals.SIGINT : 1;
    if (reason === 'stopped') break;
  }
  console.error(`\n${results.join('\n')}`);
}
