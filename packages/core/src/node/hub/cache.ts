// The hub's cache on disk: paths of files, last known commits of revisions, and which files are present.
import { randomBytes } from 'node:crypto';
import { copyFile, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { guardIo, makeFolder, moveIntoPlace, writeFileAtomically } from '@sentvec/platform/node';
import { checkFilePath } from '../../model-folder/model-files.ts';
import { rolesOf, type HubFile } from '../../hub/repository.ts';

/**
 * A model in the hub's cache, in the layout of `huggingface_hub` and `@huggingface/hub`: `refs/<revision>` contains a
 * commit id, and `snapshots/<commit>/` contains the files as links to `blobs/`, where they are named by their hash. In
 * addition, this class stores the list of a commit's files in `.sentvec/`, so that a commit that was listed once does
 * not need the hub any more.
 */
export class HubCache {
  /** The folder of the model. */
  readonly directory: string;

  constructor(cacheDirectory: string, model: string) {
    this.directory = join(cacheDirectory, `models--${model.replaceAll('/', '--')}`);
  }

  snapshot(commit: string): string {
    return join(this.directory, 'snapshots', commit);
  }

  /** Path of a file's content: named by its hash, or by commit and path if the hub gives no hash. */
  blob({ sha256, gitId, path }: HubFile, commit: string): string {
    return join(this.directory, 'blobs', sha256 ?? gitId ?? `${commit}-${encodeURIComponent(path)}`);
  }

  /**
   * The commits that a revision may refer to, the best candidate first: the one that the hub last returned to any
   * program, and the one that sentvec last loaded, whose files are all present.
   */
  async commitsOf(revision: string): Promise<string[]> {
    const contents = await Promise.all(
      [this.#ref(revision), this.#loadedRef(revision)].map((path) => readFile(path, 'utf8').catch(() => '')),
    );
    return contents.flatMap((content) => /^[0-9a-zA-Z]{1,64}$/u.exec(content.trim()) ?? []);
  }

  /** Stores the commit that the hub returned for a revision. */
  async rememberCommit(revision: string, commit: string): Promise<void> {
    await writeFile(this.#ref(revision), commit);
  }

  /** Stores the commit of a revision whose parts have been downloaded. */
  async rememberLoaded(revision: string, commit: string): Promise<void> {
    await writeFile(this.#loadedRef(revision), commit);
  }

  #ref(revision: string): string {
    return join(this.directory, 'refs', ...revision.split('/'));
  }

  #loadedRef(revision: string): string {
    return join(this.directory, '.sentvec', 'refs', ...revision.split('/'));
  }

  /** The stored list of a commit's files, if there is one. */
  async listing(commit: string): Promise<HubFile[] | undefined> {
    const content = await readFile(this.#listing(commit), 'utf8').catch(() => undefined);
    return content === undefined ? undefined : parseListing(content);
  }

  async rememberListing(commit: string, files: readonly HubFile[]): Promise<void> {
    await writeFile(this.#listing(commit), `${JSON.stringify({ files })}\n`);
  }

  #listing(commit: string): string {
    return join(this.directory, '.sentvec', `${commit}.json`);
  }

  /** The files of a commit that are in the cache, including those that other programs downloaded. */
  async present(commit: string): Promise<HubFile[]> {
    const snapshot = this.snapshot(commit);
    const entries = await readdir(snapshot, { recursive: true, withFileTypes: true }).catch(() => []);
    const files = entries.map(async (entry) => {
      const full = join(entry.parentPath ?? entry.path, entry.name);
      const path = full.slice(snapshot.length + 1).replaceAll(sep, '/');
      const stats = await stat(full).catch(() => undefined);
      return stats?.isFile() ? [{ path, size: stats.size }] : [];
    });
    const all = (await Promise.all(files)).flat();
    const roles = rolesOf(all.map(({ path }) => path));
    return all.filter(({ path }) => roles.has(path)).sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async has(commit: string, path: string): Promise<boolean> {
    return (await stat(join(this.snapshot(commit), ...path.split('/'))).catch(() => undefined))?.isFile() === true;
  }

  /** Creates the folders for a file of a snapshot and for its content. */
  async makeFolders(commit: string, path: string): Promise<void> {
    await makeFolder(join(this.directory, 'blobs'));
    await makeFolder(dirname(join(this.snapshot(commit), ...path.split('/'))));
  }

  /**
   * Puts a file into a snapshot: a symbolic link to its content, or a copy where links are not allowed (Windows without
   * developer mode).
   */
  async link(commit: string, path: string, blob: string): Promise<void> {
    const file = join(this.snapshot(commit), ...path.split('/'));
    const temporary = `${file}.${randomBytes(4).toString('hex')}.temporary`;
    try {
      await symlink(relative(dirname(file), blob), temporary).catch(() => copyFile(blob, temporary));
      await moveIntoPlace(temporary, file);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

/**
 * Runs work that writes to the cache, and adds the remedy to system errors.
 * @throws SentvecError `io-failed`; what the work throws
 */
export function guardCache<T>(directory: string, work: () => Promise<T>): Promise<T> {
  return guardIo('Writing the cache of the hub', directory, work, 'You can also choose another folder with HF_HOME.');
}

async function writeFile(path: string, content: string): Promise<void> {
  await makeFolder(dirname(path));
  await writeFileAtomically(path, content);
}

/** `undefined` for content that this version did not write. */
function parseListing(content: string): HubFile[] | undefined {
  try {
    const { files } = JSON.parse(content) as { files: HubFile[] };
    const isHash = (id: unknown): boolean => id === undefined || (typeof id === 'string' && /^[0-9a-f]+$/u.test(id));
    const isValid = files.every(
      ({ path, size, sha256, gitId }) =>
        checkFilePath(path) === path && Number.isSafeInteger(size) && isHash(sha256) && isHash(gitId),
    );
    return isValid && files.length > 0 ? files : undefined;
  } catch {
    return undefined;
  }
}
