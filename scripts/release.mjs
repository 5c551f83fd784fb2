// Publishes the packages whose version is not yet published. Versions come from `pnpm changeset version` before.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pnpm, root, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

const { homepage, repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
for (const [field, value] of Object.entries({ homepage, repository })) {
  if (value !== '') continue;
  console.error(
    `Nothing is published: "${field}" of the root's package.json is empty. ` +
      'Whoever finds a package must find its source, and provenance is checked against the repository. Fill it in.',
  );
  process.exit(1);
}
setUp();
run([process.execPath, join(root, 'scripts/test.mjs'), '--only', 'packages']);
process.env.NPM_CONFIG_PROVENANCE = 'true';
pnpm('exec', 'changeset', 'publish');
