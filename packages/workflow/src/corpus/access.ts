/** What a workflow may read and write on behalf of the requester of a run. */
import { lstat, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { isStorageUri, withoutRevision } from '@sentvec/storage';

/** What a workflow may touch. Each check throws SentvecError `job-refused`. */
export interface Access {
  /**
   * A regular file or a folder to read, or an address such as `s3://bucket/key`. @returns its real path, or the address
   */
  checkRead(path: string): Promise<string>;
  /**
   * A regular file or a folder to write, which need not exist, or an address. @returns its real path, or the address
   */
  checkWrite(path: string): Promise<string>;
  /** A URI such as `s3://bucket/key`. */
  checkBucket(uri: string): void;
  checkModel(model: string): void;
}

/** Allows everything: for runs that a person starts in a process of their own. */
export const unrestrictedAccess: Access = {
  checkRead: async (path) => path,
  checkWrite: async (path) => path,
  checkBucket: () => {},
  checkModel: () => {},
};

/** What {@link restrictAccess} allows. */
export interface AccessLimits {
  /**
   * Folders; everything below them may be read and written, and nothing else. Symbolic links count by where they lead.
   */
  readonly roots: readonly string[];
  /**
   * URIs such as `s3://bucket/folder`, or `hf://datasets/owner/name`, whose revisions are all allowed. What begins with
   * one of them is allowed.
   * @default none
   */
  readonly buckets?: readonly string[] | undefined;
  /** Names of models, as requests name them. */
  readonly models: readonly string[];
}

/** Allows what a worker's settings allow, and nothing else: anybody who can reach Redis can add a job. */
export function restrictAccess({ roots, buckets = [], models }: AccessLimits): Access {
  const check = async (path: string): Promise<string> => {
    if (!isAbsolute(path)) throw refusedJobError(`The path ${show(path)} is not absolute.`, path);
    if (path.includes('\0')) throw refusedJobError(`The path ${show(path)} holds a NUL.`, path);
    const real = await realPathOf(resolve(path));
    const realRoots = await Promise.all(roots.map(async (root) => realpath(root).catch(() => root)));
    if (realRoots.some((root) => real === root || real.startsWith(root.endsWith(sep) ? root : root + sep))) return real;
    throw refusedJobError(`The path ${show(path)} is outside the folders that this worker may touch.`, path);
  };
  const checkBucket = (uri: string): void => {
    const wanted = withoutRevision(uri);
    const allowed = buckets
      .map(withoutRevision)
      .some((bucket) => wanted === bucket || wanted.startsWith(bucket.endsWith('/') ? bucket : `${bucket}/`));
    if (!allowed || uri.split('/').includes('..'))
      throw refusedJobError(`The bucket of ${show(uri)} is not among those that this worker may touch.`, uri);
  };
  const checkFile = async (path: string): Promise<string> => {
    if (isStorageUri(path)) {
      checkBucket(path);
      return path;
    }
    const real = await check(path);
    const stats = await stat(real).catch(() => undefined);
    // Opening a FIFO or a device may never return, and would block a worker for ever.
    if (stats && !stats.isFile() && !stats.isDirectory())
      throw refusedJobError(`The path ${show(path)} is not a regular file.`, path);
    return real;
  };
  return {
    checkRead: checkFile,
    checkWrite: checkFile,
    checkBucket,
    checkModel: (model) => {
      if (models.includes(model)) return;
      throw refusedJobError(
        `The model ${show(model)} is not among those that this worker serves: ${models.join(', ') || 'none'}.`,
        model,
      );
    },
  };
}

/** The real path of a path, even when its end does not exist yet. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    // A path that is not there may be made. A link to nowhere may not be followed: it decides where it leads later.
    const isLink = await lstat(path).then(Boolean, () => false);
    if (parent === path || code !== 'ENOENT' || isLink)
      throw refusedJobError(`The path ${show(path)} cannot be followed.`, path);
    return join(await realPathOf(parent), basename(path));
  }
}

function show(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function refusedJobError(message: string, what: string): SentvecError {
  return new SentvecError('job-refused', message, { file: what.slice(0, 200) });
}
