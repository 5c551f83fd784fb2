// Runs every check of the project. `npm test -- --only NAME…` runs some of them; `--list` lists them.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pnpmCommand, root } from './pnpm.mjs';
import { setUp } from './setup.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

process.env.TURBO_TELEMETRY_DISABLED = '1';
process.chdir(root);

/** What the last check of the types found, for the next one. */
const buildInfo = 'node_modules/.cache/test.tsbuildinfo';

/** The checks, of which two run at the same time: the type check keeps one core busy while the others run. */
const checks = {
  types: () => pnpm('exec', 'tsc', '-p', 'tsconfig.test.json', '--incremental', '--tsBuildInfoFile', buildInfo),
  format: () => pnpm('exec', 'oxfmt', '--check', '.'),
  lint: () => pnpm('exec', 'oxlint', '--type-aware', '--deny-warnings'),
  versions: () => pnpm('exec', 'sherif'),
  unused: () => pnpm('exec', 'knip', '--no-progress'),
  packages: async () =>
    (await pnpm('exec', 'turbo', 'run', 'packed', '--output-logs=errors-only')) &&
    run([process.execPath, join(root, 'scripts/check-packages.mjs')]),
  size: () => pnpm('exec', 'size-limit'),
};

/**
 * Projects with a minimum test coverage. Their tests run the code in their own process, where coverage can be measured.
 */
const counted = ['core', 'architectures', 'corpus', 'workflow'];

const pnpm = (...words) => run([...pnpmCommand(), ...words]);

/** Runs a command, and prints its output when it exits, or immediately if `live`. @returns whether it succeeded */
function run([program, ...words], { live = false } = {}) {
  const child = spawn(program, words, { stdio: ['ignore', ...Array(2).fill(live ? 'inherit' : 'pipe')] });
  const printed = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes) => printed.push(bytes));
  return new Promise((resolve) => {
    child.on('error', (error) => printed.push(Buffer.from(`${error.message}\n`)));
    child.on('close', (status) => {
      process.stderr.write(Buffer.concat(printed));
      resolve(status === 0);
    });
  });
}

/** Runs checks two at a time, until one fails. @returns whether all passed */
async function runChecks(names) {
  const waiting = [...names];
  let passed = true;
  const lane = async () => {
    while (passed && waiting.length > 0) {
      const name = waiting.shift();
      const succeeded = await checks[name]();
      console.error(`── ${name}: ${succeeded ? 'passed' : 'FAILED'}\n`);
      passed &&= succeeded;
    }
  };
  await Promise.all([lane(), lane()]);
  return passed;
}

/**
 * Runs both groups of tests concurrently. Most tests of the first group wait for processes, pages and servers, whereas
 * the second group computes; together they keep two cores busy.
 */
async function runVitest() {
  ensureSystemPackages();
  const folder = mkdtempSync(join(tmpdir(), 'sentvec-test-'));
  const reports = ['counted', 'others'].map((name) => join(folder, `${name}.json`));
  process.on('exit', () => {
    printTotals(reports);
    rmSync(folder, { recursive: true, force: true });
  });
  const tested = ['packages', 'apps'].flatMap((room) =>
    readdirSync(room).filter((name) => existsSync(join(room, name, 'test'))),
  );
  tested.push('workspace');
  const projects = (names) => names.flatMap((name) => ['--project', name]);
  const vitest = (report, options, ...words) =>
    run(
      [...pnpmCommand(), 'exec', 'vitest', 'run', '--reporter=default', '--reporter=json']
        .concat(`--outputFile.json=${report}`)
        .concat(words),
      options,
    );
  const others = projects(tested.filter((name) => !counted.includes(name)));
  const passed = await Promise.all([
    vitest(reports[1], { live: true }, '--maxWorkers=3', ...others),
    vitest(reports[0], {}, '--maxWorkers=1', '--coverage', ...projects(counted)),
  ]);
  return passed.every(Boolean);
}

/** Prints the last line in a machine-readable format: `tests: N passed, N failed, N skipped`. */
function printTotals(files) {
  const reports = files.filter((file) => existsSync(file)).map((file) => JSON.parse(readFileSync(file, 'utf8')));
  const sum = (key) => reports.reduce((total, report) => total + report[key], 0);
  console.log(
    `tests: ${sum('numPassedTests')} passed, ${sum('numFailedTests')} failed, ${sum('numPendingTests')} skipped`,
  );
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'boolean' }, list: { type: 'boolean' } },
});
const all = [...Object.keys(checks), 'vitest'];
if (values.list) {
  console.log(all.join('\n'));
} else {
  const chosen = values.only ? positionals : all;
  const unknown = chosen.filter((name) => !all.includes(name));
  if (unknown.length > 0) {
    console.error(`Unknown check: ${unknown.join(', ')}. Choose from: ${all.join(', ')}`);
    process.exit(2);
  }
  setUp();
  const passed = await runChecks(chosen.filter((name) => name in checks));
  process.exitCode = passed && (!chosen.includes('vitest') || (await runVitest())) ? 0 : 1;
}
