// Speed beside others': builds the workspace and runs bench/. `pnpm bench` embeds, `pnpm bench training` trains; options are passed on, `--help` names them.
import { pnpm, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

const [first, ...rest] = process.argv.slice(2);
const [program, options] = first === 'training' ? ['training.js', rest] : ['main.js', process.argv.slice(2)];
setUp();
pnpm('exec', 'tsc', '-b', 'bench');
run([process.execPath, `bench/dist/${program}`, ...options]);
