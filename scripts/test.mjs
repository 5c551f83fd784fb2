// Every check of the project, in order of cost. `npm test -- --only NAME…` runs some of them; `--list` names them.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pnpm, root, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

process.env.TURBO_TELEMETRY_DISABLED = '1';
process.chdir(root);

const checks = {
  types: () => pnpm('exec', 'tsc', '-p', 'tsconfig.test.json'),
  format: () => pnpm('exec', 'oxfmt', '--check', '.'),
  lint: () => pnpm('exec', 'oxlint', '--type-aware', '--deny-warnings'),
  versions: () => pnpm('exec', 'sherif'),
  unused: () => pnpm('exec', 'knip', '--no-progress'),
  packages: () => {
    pnpm('exec', 'turbo', 'run', 'packed', '--output-logs=errors-only');
    run([process.execPath, join(root, 'scripts/check-packages.mjs')]);
  },
  size: () => pnpm('exec', 'size-limit'),
  vitest: runVitest,
};

/** Projects whose tests run the code in their own process, where it can be counted: coverage has its floor there. */
const counted = ['core', 'architectures', 'corpus', 'workflow'];

function runVitest() {
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
  const vitest = (report, ...options) =>
    pnpm('exec', 'vitest', 'run', ...options, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
  // These mostly wait, for processes, pages and servers: four at a time keep two cores busy.
  vitest(reports[1], '--maxWorkers=4', ...projects(tested.filter((name) => !counted.includes(name))));
  vitest(reports[0], '--coverage', ...projects(counted));
}

/** The closing line, in a form that other programs read: `tests: N passed, N failed, N skipped`. */
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
if (values.list) {
  console.log(Object.keys(checks).join('\n'));
} else {
  const chosen = values.only ? positionals : Object.keys(checks);
  const unknown = chosen.filter((name) => !(name in checks));
  if (unknown.length > 0) {
    console.error(`No check named ${unknown.join(', ')}. There are: ${Object.keys(checks).join(', ')}`);
    process.exit(2);
  }
  setUp();
  for (const name of chosen) {
    console.error(`\n── ${name}`);
    checks[name]();
  }
}
