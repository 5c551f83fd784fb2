// A fleet of workers that are killed while they embed, and the proof that nothing is lost or doubled. Takes minutes;
// --seed N repeats a run.
import { run } from './pnpm.mjs';
import { setUp } from './setup.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

setUp();
ensureSystemPackages();
run([process.execPath, 'apps/worker/chaos/chaos.mjs', ...process.argv.slice(2)]);
