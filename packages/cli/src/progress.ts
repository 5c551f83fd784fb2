// Progress bars on standard error, on one line of the terminal: progress, speed and the time left.
import type { CorpusProgressEvent } from '@sentvec/corpus';

/** A progress bar on standard error, if that is a terminal; otherwise it does nothing. */
export interface Progress<State> {
  readonly update: (state: State) => void;
  /** Removes the bar. May be called several times. */
  readonly stop: () => void;
}

/** The progress of an embedding. */
export interface EmbeddingState {
  readonly rows: number;
  readonly tokens: number;
  /** The completed share of the work, 0 to 1; `undefined` if the total is unknown. */
  readonly fraction?: number | undefined;
}

/** The progress of a download. */
export interface DownloadState {
  /** The file that is being downloaded. */
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes?: number | undefined;
}

/** A bar for a corpus. Its total is known in bytes. Rows of an earlier run do not count for the speed. */
export async function corpusProgress(): Promise<Progress<CorpusProgressEvent>> {
  const progress = await embeddingProgress();
  return {
    stop: progress.stop,
    update: ({ phase, rows, reusedRows, tokens, bytes, reusedBytes, totalBytes }) => {
      if (phase === 'unpack') progress.update({ rows: 0, tokens: 0, fraction: undefined });
      else
        progress.update({
          rows: rows - reusedRows,
          tokens,
          fraction: (bytes - reusedBytes) / Math.max(1, totalBytes - reusedBytes),
        });
    },
  };
}

/**
 * A bar with rows and tokens per second, and the time left.
 *
 * @param begun the progress before the bar was shown, which does not count for the speed. Default: none
 */
export function embeddingProgress(begun: EmbeddingState = { rows: 0, tokens: 0 }): Promise<Progress<EmbeddingState>> {
  return createProgress<EmbeddingState>((state, seconds) =>
    renderLine(state.fraction, embeddingFacts(begun, state, seconds)),
  );
}

/** Formats rows, speed and time left, from the progress since `begun`, `seconds` ago. */
export function embeddingFacts(begun: EmbeddingState, state: EmbeddingState, seconds: number): string[] {
  const { rows, tokens, fraction = 0 } = state;
  const rate = (count: number): string =>
    Math.round(Math.max(0, count) / Math.max(seconds, 0.001)).toLocaleString('en');
  const done = fraction - (begun.fraction ?? 0);
  return [
    `${rows.toLocaleString('en')} rows`,
    `${rate(rows - begun.rows)} rows/s`,
    `${rate(tokens - begun.tokens)} tokens/s`,
    ...(done > 0 ? [`${formatDuration((seconds * (1 - fraction)) / done)} left`] : []),
  ];
}

/** A bar with the bytes of the file that is being downloaded. */
export function downloadProgress(model: string): Promise<Progress<DownloadState>> {
  return createProgress<DownloadState>(({ file, loadedBytes, totalBytes }) => {
    const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
    const of = totalBytes === undefined ? '' : ` of ${megabytes(totalBytes)}`;
    const fraction = totalBytes ? loadedBytes / totalBytes : undefined;
    return renderLine(fraction, [`${model}/${file}`, `${megabytes(loadedBytes)}${of}`]);
  });
}

/** A bar with the number of reranked queries. */
export function queryProgress(): Promise<Progress<{ readonly queries: number; readonly total: number }>> {
  return createProgress<{ readonly queries: number; readonly total: number }>(({ queries, total }, seconds) =>
    renderLine(queries / total, [
      `${queries} of ${total} queries reranked`,
      `${formatDuration((seconds / Math.max(queries, 1)) * (total - queries))} left`,
    ]),
  );
}

/** A status line without a bar. */
export function statusProgress(): Promise<Progress<string>> {
  return createProgress<string>((text) => text);
}

/** The progress of a training. */
export interface TrainingState {
  readonly step: number;
  readonly totalSteps: number;
  readonly loss: number;
  readonly examples: number;
}

/**
 * A bar with the loss, the latest score, examples per second and the time left. Steps of an earlier run do not count
 * for the speed.
 */
export async function trainingProgress(): Promise<
  Progress<TrainingState> & { readonly score: (score: number) => void }
> {
  let earlier: number | undefined;
  let latest: number | undefined;
  let examples = 0;
  const progress = await createProgress<TrainingState>(({ step, totalSteps, loss }, seconds) => {
    const done = step - (earlier ?? 0);
    return renderLine(step / totalSteps, [
      `step ${step} of ${totalSteps}`,
      `loss ${loss.toFixed(4)}`,
      ...(latest === undefined ? [] : [`score ${latest.toFixed(4)}`]),
      `${Math.round(examples / Math.max(seconds, 0.001))} examples/s`,
      `${formatDuration((seconds / Math.max(done, 1)) * (totalSteps - step))} left`,
    ]);
  });
  return {
    stop: progress.stop,
    score: (score) => (latest = score),
    update: (state) => {
      earlier ??= state.step - 1;
      examples += state.examples;
      progress.update(state);
    },
  };
}

/** The visible bars. */
const shown = new Set<{ stop(): void }>();
let removed = false;

/** Removes all bars for good, so that the message at Ctrl-C has its own line. */
export function removeProgress(): void {
  removed = true;
  for (const bar of shown) bar.stop();
}

async function createProgress<State>(render: (state: State, seconds: number) => string): Promise<Progress<State>> {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const { default: cliProgress } = await import('cli-progress');
  let state: State | undefined;
  let started = 0;
  let stopped = false;
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    fps: 8,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false, // The command handles Ctrl-C.
    format: () => (state === undefined ? '' : render(state, (performance.now() - started) / 1000)),
  });
  const progress: Progress<State> = {
    update: (next) => {
      if (stopped || removed) return;
      const first = state === undefined;
      state = next;
      if (!first) return bar.update(0);
      started = performance.now();
      shown.add(progress);
      bar.start(1, 0);
    },
    stop: () => {
      stopped = true;
      if (shown.delete(progress)) bar.stop();
    },
  };
  return progress;
}

const longestBar = 24;
const shortestBar = 8;

/**
 * Renders the bar and its text on one line. In a narrow terminal the bar gets shorter first; then parts are left out,
 * beginning with the last but one. The last part, the time left, always stays.
 */
function renderLine(fraction: number | undefined, parts: readonly string[]): string {
  const width = (process.stderr.columns || 80) - 1;
  const beside = [...parts];
  const room = (): number => width - beside.reduce((sum, part) => sum + part.length + 2, 0);
  while (beside.length > 1 && room() < shortestBar) beside.splice(-2, 1);
  return [renderBar(fraction, Math.min(longestBar, Math.max(shortestBar, room()))), ...beside].join('  ');
}

function renderBar(fraction: number | undefined, length: number): string {
  if (fraction === undefined) return '·'.repeat(length);
  const done = Math.round(Math.min(1, Math.max(0, fraction)) * length);
  return '█'.repeat(done) + '░'.repeat(length - done);
}

/** `4 s`, `2 min 05 s`, `3 h 07 min` */
function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
