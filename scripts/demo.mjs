// The main job on real input: embeds a whole novel by paragraph and searches it by meaning.
import { run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

setUp();
run([process.execPath, 'packages/cli/demo/moby-dick.mjs']);
