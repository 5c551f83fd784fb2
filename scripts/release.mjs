// Publishes the packages whose version is not on npm yet. Run `pnpm changeset version` first to set the versions.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pnpm, root, run } from './pnpm.mjs';
import { setUp } from './setup.mjs';

const { homepage, repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
for (const [field, value] of Object.entries({ homepage, repository })) {
  if (value !== '') continue;
  console.error(
    `Nothing was published: set "${field}" in the package.json of the root folder. ` +
      'Users need it to find the source, and npm verifies provenance against the repository.',
  );
  process.exit(1);
}
setUp();
run([process.execPath, join(root, 'scripts/test.mjs'), '--only', 'packages']);
process.env.NPM_CONFIG_PROVENANCE = 'true';
pnpm('exec', 'changeset', 'publish');
