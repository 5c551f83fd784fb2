// Every check of the project, in order of cost. `npm test -- --only NAME…` runs some of them; `--list` names them.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pnpm, root } from './pnpm.mjs';
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
  packages: () => pnpm('exec', 'turbo', 'run', 'publint', 'attw', '--output-logs=errors-only'),
  size: () => pnpm('exec', 'size-limit'),
  vitest: runVitest,
};

function runVitest() {
  ensureSystemPackages();
  const folder = mkdtempSync(join(tmpdir(), 'sentvec-test-'));
  const report = join(folder, 'vitest.json');
  process.on('exit', () => {
    printTotals(report);
    rmSync(folder, { recursive: true, force: true });
  });
  pnpm('exec', 'vitest', 'run', '--coverage', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
}

/** The closing line, in a form that other programs read: `tests: N passed, N failed, N skipped`. */
function printTotals(report) {
  try {
    const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'));
    console.log(`tests: ${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`);
  } catch {
    console.log('tests: 0 passed, 0 failed (vitest wrote no report)');
  }
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'boolean' }, list: { type: 'boolean' } } });
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
