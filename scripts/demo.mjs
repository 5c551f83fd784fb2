// Demo with real input: embeds the paragraphs of a novel and searches them by meaning.
import { run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

setUp();
run([process.execPath, 'packages/cli/demo/moby-dick.mjs']);
