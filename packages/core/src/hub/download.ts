/** The download of a file: taken up again where it broke, and never longer than announced. */
import { PassingFailure } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { longestSilence, type HubAnswer, type HubClient } from './client.ts';
import type { HubFile } from './repository.ts';
import { waitForHub } from './retry.ts';

/** Where the bytes of a file go. */
export interface DownloadTarget {
  /** How many bytes are there already: a download continues after them. */
  readonly received: number;
  take(bytes: Uint8Array): Promise<void>;
  /** Forgets all bytes. */
  clear(): Promise<void>;
}

/** What the content of a file must hash to; a list is as good as each of its entries. */
export interface ExpectedHashes {
  readonly sha256: readonly string[];
  /** Git's id of a small file, by the listing. */
  readonly gitId: string | undefined;
}

/** How far the download of a file is. */
export interface DownloadProgress {
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/**
 * Downloads what a target does not have yet of a file. A connection that breaks, or is silent for half a minute, is
 * taken up again at the byte that was reached; only failures in a row without a further byte count against the retries.
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
  let farthest = target.received;
  if (target.received > file.size) await target.clear();
  report();
  while (target.received < file.size) {
    try {
      await receive(client, commit, file, target, report, (answer) => (etag = plainEtag(answer.etag)));
    } catch (error) {
      failures = target.received > farthest ? 1 : failures + 1;
      farthest = Math.max(farthest, target.received);
      await waitForHub(error, failures, `The download of ${file.path} of the model ${client.model}`, client.options);
    }
  }
  const sha256 = [file.sha256, etag].filter((hash) => hash !== undefined && /^[0-9a-f]{64}$/u.test(hash)) as string[];
  return { sha256, gitId: file.gitId };
}

/** One request, as far as it goes. */
async function receive(
  client: HubClient,
  commit: string,
  file: HubFile,
  target: DownloadTarget,
  report: () => void,
  onAnswer: (answer: HubAnswer) => void,
): Promise<void> {
  const silence = new AbortController();
  const fall = (): void => silence.abort(new PassingFailure(`nothing arrived for ${longestSilence / 1000} seconds`));
  let timer = setTimeout(fall, longestSilence);
  try {
    const answer = await client.open(commit, file.path, target.received, silence.signal);
    onAnswer(answer);
    await findStart(answer.response, target);
    const reader = answer.response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      clearTimeout(timer);
      timer = setTimeout(fall, longestSilence);
      if (target.received + value.length > file.size) {
        await reader.cancel();
        await target.clear();
        throw wrongSize(client, file, `more than the ${file.size} bytes`);
      }
      await target.take(value);
      throwIfAborted(client.options.signal);
      report();
    }
    if (target.received < file.size)
      throw new PassingFailure(`the connection ended after ${target.received} of ${file.size} bytes`);
  } finally {
    clearTimeout(timer);
  }
}

/** Servers may answer from the first byte on, whatever was asked for. */
async function findStart(response: Response, target: DownloadTarget): Promise<void> {
  if (response.status === 200) {
    if (target.received > 0) await target.clear();
    return;
  }
  const start = /^bytes (\d+)-/u.exec(response.headers.get('content-range') ?? '')?.[1];
  if (response.status === 206 && Number(start) === target.received) return;
  await response.body?.cancel();
  await target.clear();
  throw new PassingFailure(
    `asked to go on, the server answered ${response.status} with the range ${response.headers.get('content-range')}`,
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
