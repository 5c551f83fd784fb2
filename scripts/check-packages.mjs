// Checks the packed tarball of each package with publint and attw ("are the types wrong?"). turbo must have packed
// changed packages before.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { problemAffectsResolutionKind, problemKindInfo } from '@arethetypeswrong/core/problems';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { root } from './pnpm.mjs';

/** Module resolutions that an ESM-only package must support: not Node 10, and not `require`. */
const resolutions = ['node16-esm', 'bundler'];

async function problemsOf(manifest, tarball) {
  const analysis = await checkPackage(createPackageFromTarballData(tarball));
  const inTypes = (analysis.problems ?? [])
    .filter((problem) => resolutions.some((resolution) => problemAffectsResolutionKind(problem, resolution, analysis)))
    .map((problem) => `${problemKindInfo[problem.kind].title} ${JSON.stringify(problem)}`);
  const { messages } = await publint({ strict: true, pack: { tarball: new Uint8Array(tarball).buffer } });
  return [...inTypes, ...messages.map((message) => formatMessage(message, manifest))];
}

let failed = false;
for (const folder of ['packages', 'apps'].flatMap((parent) =>
  readdirSync(join(root, parent)).map((name) => join(root, parent, name)),
)) {
  const packed = join(folder, 'package.tgz');
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (manifest.private) continue;
  if (!existsSync(packed))
    throw new Error(
      `${manifest.name} is not packed: add the script "packed" to its package.json, as in the other packages.`,
    );
  const problems = await problemsOf(manifest, readFileSync(packed));
  for (const problem of problems) console.error(`${manifest.name}: ${problem}`);
  failed ||= problems.length > 0;
}
process.exitCode = failed ? 1 : 0;
