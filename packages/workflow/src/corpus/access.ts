/** Access control: the files, buckets and models that a run may use. */
import { lstat, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { isStorageUri, withoutRevision } from '@sentvec/storage';

/** Access control of a workflow. Each check throws a SentvecError `job-refused` if access is denied. */
export interface Access {
  /** Checks reading a regular file, a folder, or a URI such as `s3://bucket/key`. @returns its real path, or the URI */
  checkRead(path: string): Promise<string>;
  /** Checks writing a regular file, a folder, or a URI. It need not exist. @returns its real path, or the URI */
  checkWrite(path: string): Promise<string>;
  /** Checks a URI such as `s3://bucket/key`. */
  checkBucket(uri: string): void;
  checkModel(model: string): void;
}

/** Allows everything. For runs that users start in their own process. */
export const unrestrictedAccess: Access = {
  checkRead: async (path) => path,
  checkWrite: async (path) => path,
  checkBucket: () => {},
  checkModel: () => {},
};

/** The limits of {@link restrictAccess}. */
export interface AccessLimits {
  /** Folders below which files may be read and written. Symbolic links are resolved first. */
  readonly roots: readonly string[];
  /**
   * URI prefixes such as `s3://bucket/folder`. `hf://datasets/owner/name` allows all revisions of the data set.
   * @default none
   */
  readonly buckets?: readonly string[] | undefined;
  /** Names of models, exactly as in requests. */
  readonly models: readonly string[];
}

/** Allows only what the settings of a worker allow, because anybody with access to Redis can add jobs. */
export function restrictAccess({ roots, buckets = [], models }: AccessLimits): Access {
  const check = async (path: string): Promise<string> => {
    if (!isAbsolute(path)) throw refusedJobError(`The path ${show(path)} is not absolute.`, path);
    if (path.includes('\0')) throw refusedJobError(`The path ${show(path)} contains a NUL character.`, path);
    const real = await realPathOf(resolve(path));
    const realRoots = await Promise.all(roots.map(async (root) => realpath(root).catch(() => root)));
    if (realRoots.some((root) => real === root || real.startsWith(root.endsWith(sep) ? root : root + sep))) return real;
    throw refusedJobError(`The path ${show(path)} is outside the folders that this worker may access.`, path);
  };
  const checkBucket = (uri: string): void => {
    const wanted = withoutRevision(uri);
    const allowed = buckets
      .map(withoutRevision)
      .some((bucket) => wanted === bucket || wanted.startsWith(bucket.endsWith('/') ? bucket : `${bucket}/`));
    if (!allowed || uri.split('/').includes('..'))
      throw refusedJobError(`The bucket of ${show(uri)} is not among those that this worker may access.`, uri);
  };
  const checkFile = async (path: string): Promise<string> => {
    if (isStorageUri(path)) {
      checkBucket(path);
      return path;
    }
    const real = await check(path);
    const stats = await stat(real).catch(() => undefined);
    // Opening a FIFO or a device may never return, which would block the worker.
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
        `The model ${show(model)} is not among those that this worker may use: ${models.join(', ') || 'none'}.`,
        model,
      );
    },
  };
}

/** Resolves symbolic links in a path, even if its last parts do not exist yet. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    // A missing path may be created. But a broken symbolic link is denied, because its target could be changed later.
    const isLink = await lstat(path).then(Boolean, () => false);
    if (parent === path || code !== 'ENOENT' || isLink)
      throw refusedJobError(`The path ${show(path)} contains a broken symbolic link.`, path);
    return join(await realPathOf(parent), basename(path));
  }
}

function show(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function refusedJobError(message: string, what: string): SentvecError {
  return new SentvecError('job-refused', message, { file: what.slice(0, 200) });
}
