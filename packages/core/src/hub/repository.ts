import { SentvecError } from '../errors.ts';

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

/** What a file is to sentvec: a part to read the model by, weights, or nothing. */
export type HubFileRole = 'part' | 'weights';

/** Folders of weights for other runtimes, and of the training. */
const foreignFolders = /^(?:openvino|coreml|\.|checkpoint-)/u;

/**
 * What sentvec uses of a repository: configurations, vocabularies and tokenizers, safetensors, and ONNX files with
 * their external data. Weights of PyTorch, TensorFlow, Flax, OpenVINO and others it never reads.
 */
export function roleOf(path: string): HubFileRole | undefined {
  const folders = path.split('/');
  const name = folders.pop()!;
  if (folders.some((folder) => foreignFolders.test(folder))) return undefined;
  if (/^model(?:-\d+-of-\d+)?\.safetensors$/u.test(name) || /\.onnx(?:[._]data(?:_\d+)?)?$/u.test(name))
    return 'weights';
  const isPart = !folders.includes('onnx') && (name.endsWith('.json') || name === 'vocab.txt' || name === 'merges.txt');
  return isPart ? 'part' : undefined;
}
