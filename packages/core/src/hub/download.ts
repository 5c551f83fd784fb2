/** Downloads a file: resumes after a broken connection, and refuses more bytes than the hub announced. */
import { PassingFailure } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { inactivityTimeout, type HubResponse, type HubClient } from './client.ts';
import type { HubFile } from './repository.ts';
import { waitForHub } from './retry.ts';

/** The destination of a download. */
export interface DownloadTarget {
  /** Number of bytes that were already received: a download continues after them. */
  readonly received: number;
  append(bytes: Uint8Array): Promise<void>;
  /** Discards all received bytes. */
  clear(): Promise<void>;
}

/** The hashes that the content of a file must have: all of those given. */
export interface ExpectedHashes {
  readonly sha256: readonly string[];
  /** Git's blob id, from the listing of the files; absent for large files. */
  readonly gitId: string | undefined;
}

/** Progress of the download of a file. */
export interface DownloadProgress {
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/**
 * Downloads the part of a file that the target does not have yet. When a connection breaks, or receives nothing for 30
 * seconds, the download resumes at the next missing byte. The count of retries starts again whenever a further byte
 * arrives.
 * @throws SentvecError `download-failed`, `model-not-found`, `model-access-denied`, `aborted`, and those of the target
 */
export async function downloadFile(
  client: HubClient,
  commit: string,
  file: HubFile,
  target: DownloadTarget,
  onProgress?: (progress: DownloadProgress) => void,
): Promise<ExpectedHashes> {
  const report = (): void => onProgress?.({ file: file.path, loadedBytes: target.received, totalBytes: file.size });
  let etag: string | undefined;
  let failures = 0;
  let maxReceived = target.received;
  if (target.received > file.size) await target.clear();
  report();
  while (target.received < file.size) {
    try {
      await receive(client, commit, file, target, report, (received) => (etag = plainEtag(received.etag)));
    } catch (error) {
      failures = target.received > maxReceived ? 1 : failures + 1;
      maxReceived = Math.max(maxReceived, target.received);
      await waitForHub(error, failures, `The download of ${file.path} of the model ${client.model}`, client.options);
    }
  }
  const sha256 = [file.sha256, etag].filter((hash) => hash !== undefined && /^[0-9a-f]{64}$/u.test(hash)) as string[];
  return { sha256, gitId: file.gitId };
}

/** Makes one request and appends what it receives to the target. */
async function receive(
  client: HubClient,
  commit: string,
  file: HubFile,
  target: DownloadTarget,
  report: () => void,
  onResponse: (received: HubResponse) => void,
): Promise<void> {
  const silence = new AbortController();
  const onSilence = (): void =>
    silence.abort(new PassingFailure(`nothing arrived for ${inactivityTimeout / 1000} seconds`));
  let timer = setTimeout(onSilence, inactivityTimeout);
  try {
    const received = await client.open(commit, file.path, target.received, silence.signal);
    onResponse(received);
    await findStart(received.response, target);
    const reader = received.response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      clearTimeout(timer);
      timer = setTimeout(onSilence, inactivityTimeout);
      if (target.received + value.length > file.size) {
        await reader.cancel();
        await target.clear();
        throw wrongSize(client, file, `more than the ${file.size} bytes`);
      }
      await target.append(value);
      throwIfAborted(client.options.signal);
      report();
    }
    if (target.received < file.size)
      throw new PassingFailure(`the connection ended after ${target.received} of ${file.size} bytes`);
  } finally {
    clearTimeout(timer);
  }
}

/** Checks where the response begins: a server may send a file from its first byte although a range was requested. */
async function findStart(response: Response, target: DownloadTarget): Promise<void> {
  if (response.status === 200) {
    if (target.received > 0) await target.clear();
    return;
  }
  const start = /^bytes (\d+)-/u.exec(response.headers.get('content-range') ?? '')?.[1];
  const { received } = target;
  if (response.status === 206 && Number(start) === received) return;
  await response.body?.cancel();
  await target.clear();
  throw new PassingFailure(
    `bytes from ${received} on were requested, but the server sent status ${response.status} with the range ${response.headers.get('content-range')}`,
  );
}

function wrongSize(client: HubClient, file: HubFile, problem: string): SentvecError {
  return new SentvecError(
    'download-failed',
    `${file.path} of the model ${client.model} has ${problem} that the hub announced. Try again later.`,
    {
      file: file.path,
    },
  );
}

/** Without the quotes, and the mark that an ETag is a weak one. */
function plainEtag(etag: string | undefined): string | undefined {
  return etag?.replace(/^W\//u, '').replaceAll('"', '');
}

/** The error for a file whose content is not what the hub says it is. */
export function wrongHash(model: string, file: string, expected: string, actual: string): SentvecError {
  return new SentvecError(
    'download-failed',
    `${file} of the model ${model} arrived damaged: its hash is ${actual}, but the hub says ${expected}. It was thrown away; try again.`,
    { file, expected, actual },
  );
}
