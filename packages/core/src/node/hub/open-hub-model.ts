// Models from the Hugging Face hub in Node: chooses a commit, online or from the cache, and downloads its files.
import { checkCount, checkHubEndpoint } from '@sentvec/platform';
import { makeFolder, readHubEnvironment } from '@sentvec/platform/node';
import { SentvecError, throwIfAborted } from '../../errors.ts';
import { HubClient } from '../../hub/client.ts';
import {
  checkRepositoryName,
  checkRevision,
  defaultRevision,
  isCommit,
  rolesOf,
  type HubFile,
} from '../../hub/repository.ts';
import type { ModelFiles } from '../../types.ts';
import { downloadedModel } from '../downloaded-model.ts';
import { guardCache, HubCache } from './cache.ts';
import type { HubModelOptions } from './hub-model.ts';
import { VersionDownload } from './version-download.ts';
import { fetchThroughRedirects } from './redirects.ts';

/** Implements `hubModel`, which has checked the names of the options. */
export async function openHubModel(
  name: string,
  options: HubModelOptions,
): Promise<ModelFiles & { readonly revision: string; readonly directory: string }> {
  const { revision = defaultRevision, signal, retries = 4, onProgress } = options;
  checkRepositoryName(name);
  checkRevision(revision);
  checkCount(retries, 'retries', 0);
  throwIfAborted(signal);
  const environment = await readHubEnvironment();
  const endpoint = checkHubEndpoint(options.endpoint ?? environment.endpoint);
  const token = options.token ?? environment.token;
  const client = new HubClient(name, { endpoint, token, retries, signal, fetch: fetchThroughRedirects });
  const cache = new HubCache(options.cacheDir ?? environment.cacheDirectory, name);
  return guardCache(cache.directory, async () => {
    const offline = options.offline ?? environment.offline;
    const { commit, files } = offline
      ? await cachedVersion(cache, name, revision)
      : await currentVersion(client, cache, revision);
    const download = new VersionDownload(client, cache, commit, files, offline, onProgress);
    await download.all(partsOf(files));
    if (!offline && commit !== revision) await cache.rememberLoaded(revision, commit);
    const snapshot = cache.snapshot(commit);
    await makeFolder(snapshot);
    return downloadedModel(download, snapshot, {
      name,
      revision: commit,
      linksWithin: cache.directory,
      related: (other) => openHubModel(other, { ...options, revision: undefined }),
    });
  });
}

interface Version {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/**
 * The current commit of a revision on the hub. The cache is used for a full commit id, which cannot change, and when
 * the hub cannot be reached.
 */
async function currentVersion(client: HubClient, cache: HubCache, revision: string): Promise<Version> {
  const cached = await findCached(cache, revision);
  if (cached?.listed && isCommit(revision)) return cached;
  try {
    // No retries when the cache has a version to fall back to.
    const lister = cached === undefined ? client : new HubClient(client.model, { ...client.options, retries: 0 });
    // Imported here, because a version in the cache does not need the library.
    const { listingByLibrary } = await import('./listing-by-library.ts');
    const commit = isCommit(revision) ? revision : await listingByLibrary.commitOf(lister, revision);
    const files = (await cache.listing(commit)) ?? (await listingByLibrary.files(lister, commit));
    await cache.rememberListing(commit, files);
    if (commit !== revision) await cache.rememberCommit(revision, commit);
    return { commit, files };
  } catch (error) {
    if (cached === undefined || !SentvecError.is(error, 'download-failed')) throw error;
    return cached;
  }
}

/** @throws SentvecError `model-not-found` */
async function cachedVersion(cache: HubCache, name: string, revision: string): Promise<Version> {
  const cached = await findCached(cache, revision);
  if (cached) return cached;
  const message = `The model ${name} (revision ${revision}) is not in the cache ${cache.directory}, and downloads are turned off (by the option offline or HF_HUB_OFFLINE). Load it once with a network.`;
  throw new SentvecError('model-not-found', message, { model: name, revision });
}

/** A version that is in the cache. */
interface CachedVersion extends Version {
  /**
   * Whether the list of its files came from the hub. Otherwise another program downloaded the model, and may have left
   * out files that it does not use.
   */
  readonly listed: boolean;
  /** Whether all its parts are in the cache. */
  readonly complete: boolean;
}

/**
 * The best cached version of a revision, in this order: complete and listed by the hub, complete, any. A snapshot that
 * another program downloaded may lack files that change the vectors, such as `1_Pooling/config.json`.
 */
async function findCached(cache: HubCache, revision: string): Promise<CachedVersion | undefined> {
  const commits = isCommit(revision) ? [revision] : await cache.commitsOf(revision);
  const versions = (await Promise.all(commits.map((commit) => readVersion(cache, commit)))).flatMap(
    (version) => version ?? [],
  );
  return (
    versions.find(({ listed, complete }) => listed && complete) ??
    versions.find(({ complete }) => complete) ??
    versions[0]
  );
}

async function readVersion(cache: HubCache, commit: string): Promise<CachedVersion | undefined> {
  const present = await cache.present(commit);
  const roles = rolesOf(present.map(({ path }) => path));
  const isModel = present.some(({ path }) => path.endsWith('config.json') || path === 'modules.json');
  if (!isModel || ![...roles.values()].includes('weights')) return undefined;
  const listing = await cache.listing(commit);
  const complete = partsOf(listing ?? present).every(({ path }) => roles.has(path));
  return { commit, files: listing ?? present, listed: listing !== undefined, complete };
}

function partsOf(files: readonly HubFile[]): HubFile[] {
  const roles = rolesOf(files.map(({ path }) => path));
  return files.filter(({ path }) => roles.get(path) === 'part');
}
