// Speed beside others': builds the workspace and runs bench/. `pnpm bench` embeds, `pnpm bench training` trains, `pnpm bench queue` embeds through Redis; options are passed on, `--help` names them.
import { pnpm, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

const [first, ...rest] = process.argv.slice(2);
const others = { training: 'training.js', queue: 'queue.js' };
const [program, options] = Object.hasOwn(others, first ?? '') ? [others[first], rest] : ['main.js', process.argv.slice(2)];
setUp();
pnpm('exec', 'tsc', '-b', 'bench');
run([process.execPath, `bench/dist/${program}`, ...options]);
