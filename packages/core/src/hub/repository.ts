/** Repositories of the hub: checks names and revisions, and decides which files sentvec uses. */
import { SentvecError } from '../errors.ts';
import { cannotBeExternalData } from '../model-folder/external-data.ts';

/** A file of a repository at one commit. */
export interface HubFile {
  readonly path: string;
  /** Size in bytes. */
  readonly size: number;
  /** Hexadecimal SHA-256; only large files (Git LFS) have it. */
  readonly sha256?: string | undefined;
  /** Git's blob id, the SHA-1 of size and content; only small files have it. */
  readonly gitId?: string | undefined;
}

/** The branch that is used when no revision is given. */
export const defaultRevision = 'main';

/**
 * Checks the name of a repository of the hub: `name` or `organization/name`.
 * @throws SentvecError `invalid-argument`
 */
export function checkRepositoryName(name: string): void {
  const segments = name.split('/');
  const isValid =
    segments.length <= 2 &&
    segments.every((segment) => /^\w(?:[\w.-]{0,94}\w)?$/u.test(segment) && !/--|\.\./u.test(segment));
  if (isValid) return;
  throw new SentvecError(
    'invalid-argument',
    `${JSON.stringify(name)} is not a valid name of a model on the hub: names are "organization/name" or "name", and consist of letters, digits, "-", "_" and ".".`,
  );
}

/**
 * Checks the name of a branch, tag or commit, which becomes a path in the cache.
 * @throws SentvecError `invalid-argument`
 */
export function checkRevision(revision: string): void {
  const isValid =
    revision.length <= 250 &&
    revision.split('/').every((segment) => /^\w[\w.+-]*$/u.test(segment) && !segment.includes('..'));
  if (isValid) return;
  throw new SentvecError(
    'invalid-argument',
    `${JSON.stringify(revision)} is not a valid revision. Pass a branch, a tag or a commit.`,
  );
}

/** Whether a revision is the full id of a commit, whose files never change. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/u.test(revision);
}

/**
 * How sentvec uses a file: `part` for configurations and vocabularies, which loading a model reads; `weights`; `other`
 * for files that are read only on demand, such as the model card.
 */
export type HubFileRole = 'part' | 'weights' | 'other';

/** Folders with weights for other runtimes, training checkpoints, hidden folders. */
const foreignFolders = /^(?:openvino|coreml|\.|checkpoint-)/u;

/** Parts whose names do not end in `.json`. Without them, the same weights could give different vectors. */
const otherParts: ReadonlySet<string> = new Set([
  'artifact.metadata',
  'chat_template.jinja',
  'merges.txt',
  'vocab.txt',
]);

/**
 * Selects the files of a repository that sentvec uses: configurations, vocabularies and tokenizers, safetensors, ONNX
 * files with their external data (under any name), and the model card. It never uses weights for PyTorch, TensorFlow,
 * Flax, OpenVINO or other runtimes.
 * @param paths the paths of all files
 * @returns the role of each file that has one
 */
export function rolesOf(paths: readonly string[]): ReadonlyMap<string, HubFileRole> {
  const graphFolders = new Set(paths.filter((path) => path.endsWith('.onnx')).map(folderOf));
  const roles = new Map<string, HubFileRole>();
  for (const path of paths) {
    const role = roleOf(path, graphFolders.has(folderOf(path)));
    if (role !== undefined) roles.set(path, role);
  }
  return roles;
}

function roleOf(path: string, isBesideGraph: boolean): HubFileRole | undefined {
  const folders = path.split('/');
  const name = folders.pop()!;
  if (folders.some((folder) => foreignFolders.test(folder))) return undefined;
  if (path === 'README.md') return 'other';
  if (/^(?:adapter_)?model(?:-\d+-of-\d+)?\.safetensors$/u.test(name) || name.endsWith('.onnx')) return 'weights';
  const isPart = name.endsWith('.json') || otherParts.has(name);
  if (isPart) return folders.includes('onnx') ? undefined : 'part';
  return isBesideGraph && !cannotBeExternalData(name) ? 'weights' : undefined;
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1);
}
