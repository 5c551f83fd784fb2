/** From the address of a file or a folder, as a person writes it, to the store that has it. */
import { SentvecError } from '@sentvec/platform';
import { azStorage } from './az/az-storage.ts';
import { folderStorage } from './folder-storage.ts';
import { gsStorage } from './gs/gs-storage.ts';
import { datasetAddress, findCommit, hubStorage, isCommit, parseDatasetAddress } from './hub-storage.ts';
import { s3Storage } from './s3/s3-storage.ts';
import type { Storage, StorageOptions } from './storage.ts';
import { webStorage } from './web-storage.ts';

/** A file in its store. */
export interface StoredFile {
  readonly storage: Storage;
  readonly key: string;
}

/** Stores of objects, by the scheme of their addresses. */
const bucketStorages: Readonly<Record<string, (bucket: string, prefix: string) => Storage>> = {
  s3: s3Storage,
  gs: gsStorage,
  az: azStorage,
};

/** What comes before the path in the address of a file in a store. */
const scheme = /^[a-z][a-z0-9+.-]+:\/\//iu;

/** Whether a text is an address (`s3://bucket/key`, `https://host/file`) rather than a path of this machine. */
export function isStorageUri(text: string): boolean {
  return scheme.test(text);
}

/** Whether an address is one of a store of objects, which can be listed and written. */
export function isBucketUri(text: string): boolean {
  return Object.hasOwn(bucketStorages, text.split('://')[0]!.toLowerCase());
}

/** Address and name joined; unlike `join` of Node, which takes `//` for `/`. */
export function joinLocation(folder: string, name: string): string {
  return `${folder.replace(/(?<!\/)\/+$/u, '')}/${name}`;
}

/**
 * Opens a folder: a path, `s3://bucket/folder`, `gs://bucket/folder` or `az://container/folder`. Nothing is asked of
 * the store yet. Credentials come from the environment of this process, never from an address.
 *
 * @throws SentvecError `invalid-argument` for an address that sentvec does not know, or that holds a secret
 */
export function openStorage(folder: string): Storage {
  if (!isStorageUri(folder)) return folderStorage(folder);
  const { storage, key } = split(folder);
  return key === '' ? rootOf(storage) : rootOf(storage, key);
}

/**
 * Finds the store of a file: `s3://bucket/key`, `gs://…`, `az://…`, `https://host/file`,
 * `hf://datasets/owner/name/file`. Nothing is asked of it yet.
 *
 * @throws SentvecError `invalid-argument` for a path, an address that sentvec does not know, or that holds a secret
 */
export function locateFile(uri: string): StoredFile {
  const { storage, key } = split(uri);
  return { storage: rootOf(storage), key };
}

/**
 * The same addresses, with a commit in the place of a branch or tag of the hub: what is read by them is of one state,
 * however long that takes. A branch that occurs several times is the same commit each time. Paths, and addresses of other
 * stores, stay as they are.
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

/** The address without the revision of a data set: what allows to read a data set allows all its revisions. */
export function withoutRevision(address: string): string {
  const dataset = parseDatasetAddress(address);
  return dataset === undefined ? address : datasetAddress({ ...dataset, revision: 'main' });
}

/** The root of a store (`s3://bucket`, `https://host`), and the key in it. */
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
      throw addressError(uri, `what follows "${name}://" is not the name of a bucket`);
    if (/[?&](?:sig|x-(?:amz|goog)-signature)=/iu.test(key))
      throw addressError(
        uri.replace(/[?#].*$/su, '?…'),
        'it holds a signature, which is a secret and would be stored in the manifest',
      );
    return { storage: `${name}://${authority}`, key };
  }
  if (name !== 'https' && name !== 'http') throw addressError(uri, `sentvec does not know ${name}://`);
  if (authority.includes('@') || /[?#]/u.test(key))
    throw addressError(
      uri.replace(/[?#].*$/su, '?…'),
      'it holds a password or a query, which may be a secret and would be stored in the manifest',
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

/** Each store once: they share credentials and what they have learned. */
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
    'Name a path, s3://bucket/key, gs://bucket/key, az://container/key, hf://datasets/owner/name/file, or https://host/file without a query.';
  const file = uri.replace(/\/\/[^/]*@/u, '//…@'); // A password must not get into a message.
  return new SentvecError('invalid-argument', `${file} cannot be used: ${problem}. ${remedy}`, { file });
}
