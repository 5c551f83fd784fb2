// Kills workers while they embed, and checks that no row is lost or duplicated. Takes several minutes; --seed N repeats
// a run.
import { run } from './pnpm.mjs';
import { setUp } from './setup.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

setUp();
ensureSystemPackages();
run([process.execPath, 'apps/worker/chaos/chaos.mjs', ...process.argv.slice(2)]);
