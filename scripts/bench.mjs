// Speed beside others' and beside bare matrix products: builds the workspace and runs bench/. Options are passed on; `--help` names them.
import { pnpm, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

setUp();
pnpm('exec', 'tsc', '-b', 'bench');
run([process.execPath, 'bench/dist/main.js', ...process.argv.slice(2)]);
