// A fleet of hundreds of workers on one machine, and what Redis and the coordinator have to do for it:
// apps/worker/simulation. `--help` names its options.
import { run } from './pnpm.mjs';
import { setUp } from './setup.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

setUp();
ensureSystemPackages();
run([process.execPath, 'apps/worker/simulation/main.mjs', ...process.argv.slice(2)]);
