// What a release does to version numbers: a minor one before 1.0.0, the same for every package that is published.
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { glob } from 'tinyglobby';
import { expect, it } from 'vitest';
import { root, run, temporaryFolder } from './packages.ts';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
}

async function manifestsIn(folder: string): Promise<Manifest[]> {
  const files = await glob('{packages,apps,bench,examples}/{package.json,*/package.json}', { cwd: folder });
  return Promise.all(files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as Manifest));
}

it('a new feature takes all packages from 0.1.0 to 0.2.0, except those that are not published', async () => {
  const copy = await temporaryFolder();
  try {
    const files = [
      'package.json',
      'pnpm-workspace.yaml',
      '.changeset/config.json',
      '{packages,apps,bench,examples}/**/package.json',
    ];
    for (const file of await glob(files, { cwd: root, dot: true, ignore: ['**/node_modules/**'] }))
      await cp(join(root, file), join(copy.path, file), { recursive: true });
    // Others depend on this package, one as a peer.
    await writeFile(join(copy.path, '.changeset/change.md'), "---\n'@sentvec/backend-tfjs': minor\n---\n\nA change.\n");
    await symlink(join(root, 'node_modules'), join(copy.path, 'node_modules'));
    await run('git', ['init', '--quiet'], copy.path);
    await run('git', ['add', '.changeset', 'packages'], copy.path);
    await run(
      'git',
      ['-c', 'user.name=test', '-c', 'user.email=test@localhost', 'commit', '--quiet', '-m', 'copy'],
      copy.path,
    );
    const before = new Map((await manifestsIn(copy.path)).map(({ name, version }) => [name, version]));
    await run(join(root, 'node_modules/.bin/changeset'), ['version'], copy.path);
    const after = await manifestsIn(copy.path);
    const released = after.filter((manifest) => !manifest.private);
    expect(released.length).toBeGreaterThanOrEqual(15);
    const [major, minor] = before.get('@sentvec/core')!.split('.').map(Number);
    expect(new Set(released.map(({ version }) => version))).toEqual(new Set([`${major}.${minor! + 1}.0`]));
    for (const { name, version } of after.filter((manifest) => manifest.private))
      expect([name, version]).toEqual([name, before.get(name)]);
  } finally {
    await copy.remove();
  }
});

it('nothing is published while the root package.json has no homepage and repository', async (context) => {
  const { homepage, repository } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<
    'homepage' | 'repository',
    string
  >;
  context.skip(homepage !== '' && repository !== '', 'the root says where the source is: a release would publish');
  await expect(run(process.execPath, ['scripts/release.mjs'], root)).rejects.toThrow(
    /Nothing was published: set "\w+"/u,
  );
});
