// Simulates hundreds of workers on one machine and measures the load of Redis and of the coordinator; see
// apps/worker/simulation. `--help` lists the options.
import { run } from './pnpm.mjs';
import { setUp } from './setup.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

setUp();
ensureSystemPackages();
run([process.execPath, 'apps/worker/simulation/main.mjs', ...process.argv.slice(2)]);
