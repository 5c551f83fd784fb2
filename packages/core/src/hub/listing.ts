/** Looks up the commit of a model's revision on the hub, and the files of a commit. */
import { checkFilePath } from '../model-folder/model-files.ts';
import type { HubClient } from './client.ts';
import { rolesOf, type HubFile } from './repository.ts';

/** Looks up commits and files of a model. Throws the errors of {@link HubClient.get}. */
export interface HubListing {
  /** The commit that a revision currently points to. */
  commitOf(client: HubClient, revision: string): Promise<string>;
  /**
   * The files of a commit that sentvec uses, sorted by path.
   * @throws also SentvecError `invalid-model`
   */
  files(client: HubClient, commit: string): Promise<HubFile[]>;
}

/** An entry of the hub's file listing. Its values are `unknown` because they have not been validated. */
export interface ListedEntry {
  readonly type?: unknown;
  readonly path?: unknown;
  readonly size?: unknown;
  readonly oid?: unknown;
  readonly lfs?: { readonly oid?: unknown; readonly size?: unknown } | undefined;
}

/** Maximum number of pages of a file listing. The hub puts 1,000 files on a page. */
export const maxPages = 100;

/**
 * Uses plain `fetch` requests. In Node, `@huggingface/hub` does this; it is not used in browsers because it has 270 kB
 * and imports Node modules, which not every bundler removes.
 */
export const listingByFetch: HubListing = {
  async commitOf(client, revision) {
    const response = await client.get(`${modelUrl(client)}/revision/${encodeURIComponent(revision)}`, revision);
    return checkCommit(client, ((await readJson(client, response)) as { sha?: unknown } | null)?.sha);
  },
  async files(client, commit) {
    const entries: ListedEntry[] = [];
    let url: string | undefined = `${modelUrl(client)}/tree/${encodeURIComponent(commit)}?recursive=true`;
    for (let pages = 1; url !== undefined; pages++) {
      if (pages > maxPages) throw client.invalidResponseError(`lists files on more than ${maxPages} pages`);
      const response = await client.get(url, commit);
      const page = await readJson(client, response);
      if (!Array.isArray(page)) throw client.invalidResponseError('is not a list of files');
      entries.push(...(page as ListedEntry[]));
      url = /<([^>]+)>;\s*rel="next"/u.exec(response.headers.get('link') ?? '')?.[1];
    }
    return toHubFiles(client, entries);
  },
};

/**
 * @throws SentvecError `download-failed` when it is not a commit id. It is checked because it becomes a path in the
 * cache
 */
export function checkCommit(client: HubClient, commit: unknown): string {
  if (typeof commit === 'string' && /^[0-9a-zA-Z]{1,64}$/u.test(commit)) return commit;
  throw client.invalidResponseError(`names the commit ${JSON.stringify(commit)}`);
}

/**
 * The files that sentvec uses.
 * @throws SentvecError `download-failed`, `invalid-model`
 */
export function toHubFiles(client: HubClient, entries: readonly ListedEntry[]): HubFile[] {
  const files = entries.filter((entry): entry is ListedFile => entry.type === 'file' && typeof entry.path === 'string');
  const roles = rolesOf(files.map(({ path }) => path));
  return files
    .filter(({ path }) => roles.has(path))
    .map((file) => toHubFile(client, file))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

type ListedFile = ListedEntry & { readonly path: string };

function toHubFile(client: HubClient, { path, size: ownSize, oid, lfs }: ListedFile): HubFile {
  const size = Number(lfs?.size ?? ownSize);
  if (!Number.isSafeInteger(size) || size < 0)
    throw client.invalidResponseError(`gives ${path} a size of ${String(lfs?.size ?? ownSize)}`);
  const [sha256, gitId] = lfs ? [lfs.oid, undefined] : [undefined, oid];
  return {
    path: checkFilePath(path),
    size,
    ...(isHash(sha256, 64) && { sha256 }),
    ...(isHash(gitId, 40) && { gitId }),
  };
}

function isHash(value: unknown, digits: number): value is string {
  return typeof value === 'string' && value.length === digits && /^[0-9a-f]+$/u.test(value);
}

function modelUrl({ options, model }: HubClient): string {
  return `${options.endpoint}/api/models/${model}`;
}

async function readJson(client: HubClient, response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    throw client.invalidResponseError('is not JSON', error);
  }
}
