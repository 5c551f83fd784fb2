/** Opens the storage of a path or URI. */
import { SentvecError } from '@sentvec/platform';
import { azStorage } from './az/az-storage.ts';
import { folderStorage } from './folder-storage.ts';
import { gsStorage } from './gs/gs-storage.ts';
import { datasetAddress, findCommit, hubStorage, isCommit, parseDatasetAddress } from './hub-storage.ts';
import { s3Storage } from './s3/s3-storage.ts';
import type { Storage, StorageOptions } from './storage.ts';
import { webStorage } from './web-storage.ts';

/** A storage and a key in it. */
export interface StoredFile {
  readonly storage: Storage;
  readonly key: string;
}

/** Object stores by URI scheme. */
const bucketStorages: Readonly<Record<string, (bucket: string, prefix: string) => Storage>> = {
  s3: s3Storage,
  gs: gsStorage,
  az: azStorage,
};

/** Matches the scheme of a URI. */
const scheme = /^[a-z][a-z0-9+.-]+:\/\//iu;

/** Whether a text is a URI (`s3://bucket/key`, `https://host/file`) and not a local path. */
export function isStorageUri(text: string): boolean {
  return scheme.test(text);
}

/** Whether a URI belongs to an object store, which can be listed and written. */
export function isBucketUri(text: string): boolean {
  return Object.hasOwn(bucketStorages, text.split('://')[0]!.toLowerCase());
}

/** Joins a location and a name. Node's `join` would replace `//` in a URI by `/`. */
export function joinLocation(folder: string, name: string): string {
  return `${folder.replace(/(?<!\/)\/+$/u, '')}/${name}`;
}

/**
 * Opens a folder: a path, `s3://bucket/folder`, `gs://bucket/folder` or `az://container/folder`. It sends no requests.
 * Credentials come from the environment of this process, never from a URI.
 *
 * @throws SentvecError `invalid-argument` for an unsupported URI, or one that contains a secret
 */
export function openStorage(folder: string): Storage {
  if (!isStorageUri(folder)) return folderStorage(folder);
  const { storage, key } = split(folder);
  return key === '' ? rootOf(storage) : rootOf(storage, key);
}

/**
 * Finds the store of a file: `s3://bucket/key`, `gs://…`, `az://…`, `https://host/file`,
 * `hf://datasets/owner/name/file`. It sends no requests.
 *
 * @throws SentvecError `invalid-argument` for a path, an unsupported URI, or one that contains a secret
 */
export function locateFile(uri: string): StoredFile {
  const { storage, key } = split(uri);
  return { storage: rootOf(storage), key };
}

/**
 * Pins URIs of the hub: replaces branches and tags by their current commit, so that all reads see one state. A branch
 * that occurs several times is resolved once. Paths and URIs of other stores do not change.
 *
 * @throws SentvecError `io-failed`, `aborted`
 */
export async function pinAddresses(addresses: readonly string[], options: StorageOptions = {}): Promise<string[]> {
  const commits = new Map<string, Promise<string>>();
  return Promise.all(
    addresses.map(async (address) => {
      const dataset = parseDatasetAddress(address);
      if (dataset === undefined || isCommit(dataset.revision)) return address;
      const { name, revision } = dataset;
      const root = datasetAddress({ name, revision, key: '' });
      const commit = commits.get(root) ?? findCommit(name, { revision, ...options });
      commits.set(root, commit);
      return datasetAddress({ ...dataset, revision: await commit });
    }),
  );
}

/** Removes the revision of a data set from a URI, because access to a data set includes all revisions. */
export function withoutRevision(address: string): string {
  const dataset = parseDatasetAddress(address);
  return dataset === undefined ? address : datasetAddress({ ...dataset, revision: 'main' });
}

/** Splits a URI into the root of a store (`s3://bucket`, `https://host`) and a key. */
function split(uri: string): { readonly storage: string; readonly key: string } {
  const [, kind = '', authority = '', key = ''] = /^([a-z][a-z0-9+.-]+):\/\/([^/]*)\/?(.*)$/isu.exec(uri) ?? [];
  const name = kind.toLowerCase();
  if (name === 'hf') {
    const dataset = parseDatasetAddress(uri);
    if (dataset) return { storage: datasetAddress({ ...dataset, key: '' }), key: dataset.key };
    throw addressError(uri, 'it is not of the form hf://datasets/OWNER/NAME[@REVISION]/PATH');
  }
  if (Object.hasOwn(bucketStorages, name)) {
    if (!/^(?:[a-z0-9][a-z0-9._-]{0,254}|\$(?:root|web|logs))$/iu.test(authority))
      throw addressError(uri, `it has no valid bucket name after "${name}://"`);
    if (/[?&](?:sig|x-(?:amz|goog)-signature)=/iu.test(key))
      throw addressError(
        uri.replace(/[?#].*$/su, '?…'),
        'it contains a signature, which is a secret and would be stored in the manifest',
      );
    return { storage: `${name}://${authority}`, key };
  }
  if (name !== 'https' && name !== 'http') throw addressError(uri, `the scheme ${name}:// is not supported`);
  if (authority.includes('@') || /[?#]/u.test(key))
    throw addressError(
      uri.replace(/[?#].*$/su, '?…'),
      'it contains a password or a query, which may be a secret and would be stored in the manifest',
    );
  return { storage: `${name}://${authority}`, key: key.split('/').map(decodeName).join('/') };
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** One storage per root, so that credentials, region and clock are shared. */
const roots = new Map<string, Storage>();

function rootOf(root: string, prefix = ''): Storage {
  const uri = joinLocation(root, prefix);
  const open = roots.get(uri) ?? newStorage(root, prefix);
  if (roots.size > 64) roots.clear();
  roots.set(uri, open);
  return open;
}

function newStorage(root: string, prefix: string): Storage {
  const [name = '', authority = ''] = root.split('://');
  const open = bucketStorages[name];
  if (open) return open(authority, prefix);
  const dataset = parseDatasetAddress(root);
  if (dataset) return hubStorage(dataset.name, { revision: dataset.revision, folder: prefix });
  return webStorage(joinLocation(root, prefix));
}

function addressError(uri: string, problem: string): SentvecError {
  const remedy =
    'Use a path, s3://bucket/key, gs://bucket/key, az://container/key, hf://datasets/owner/name/file, or https://host/file without a query.';
  const file = uri.replace(/\/\/[^/]*@/u, '//…@'); // Passwords must not be in error messages.
  return new SentvecError('invalid-argument', `${file} cannot be used: ${problem}. ${remedy}`, { file });
}
