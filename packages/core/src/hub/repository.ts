/** A repository of the hub: its name, its revisions, and what its files are to sentvec. */
import { SentvecError } from '../errors.ts';
import { cannotBeExternalData } from '../model-folder/external-data.ts';

/** A file of a repository at one commit. */
export interface HubFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Hexadecimal SHA-256 of a large file. */
  readonly sha256?: string | undefined;
  /** Git's id of a small file: SHA-1 of its size and content. */
  readonly gitId?: string | undefined;
}

/** The branch that is meant when no revision is named. */
export const defaultRevision = 'main';

/**
 * Checks the name of a repository of the hub: `name` or `organization/name`.
 * @throws SentvecError `invalid-argument`
 */
export function checkRepositoryName(name: string): void {
  const segments = name.split('/');
  const sound =
    segments.length <= 2 &&
    segments.every((segment) => /^\w(?:[\w.-]{0,94}\w)?$/u.test(segment) && !/--|\.\./u.test(segment));
  if (sound) return;
  throw new SentvecError(
    'invalid-argument',
    `${JSON.stringify(name)} cannot be a model of the hub: names are "organization/name" or "name", of letters, digits, "-", "_" and ".".`,
  );
}

/**
 * Checks the name of a branch, tag or commit, which becomes a path in the cache.
 * @throws SentvecError `invalid-argument`
 */
export function checkRevision(revision: string): void {
  const sound =
    revision.length <= 250 &&
    revision.split('/').every((segment) => /^\w[\w.+-]*$/u.test(segment) && !segment.includes('..'));
  if (sound) return;
  throw new SentvecError(
    'invalid-argument',
    `${JSON.stringify(revision)} cannot be a revision. Give a branch, a tag or a commit.`,
  );
}

/** Whether a revision is the full id of a commit, whose files never change. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/u.test(revision);
}

/** What a file is to sentvec: a part to read the model by, weights, or something that is read when it is asked for. */
export type HubFileRole = 'part' | 'weights' | 'other';

/** Folders with weights for other runtimes, training checkpoints, hidden folders. */
const foreignFolders = /^(?:openvino|coreml|\.|checkpoint-)/u;

/** Parts whose names do not end in `.json`. If one were missing, the same weights would give other vectors. */
const otherParts: ReadonlySet<string> = new Set([
  'artifact.metadata',
  'chat_template.jinja',
  'merges.txt',
  'vocab.txt',
]);

/**
 * What sentvec uses of a repository: configurations, vocabularies and tokenizers, safetensors, ONNX files with their
 * external data, whatever that is called, and the card. Weights of PyTorch, TensorFlow, Flax, OpenVINO and others it
 * never reads.
 * @param paths all files
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
