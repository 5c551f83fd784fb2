import type { CorpusProgressEvent } from '@sentvec/corpus';

/** A bar on standard error, for a person who looks; nothing at all otherwise. */
export interface Progress<State> {
  readonly update: (state: State) => void;
  /** Removes the bar. May be called twice. */
  readonly stop: () => void;
}

/** How far an embedding is. */
export interface EmbeddingState {
  readonly rows: number;
  readonly tokens: number;
  /** Share of the work that is done, 0 to 1; `undefined` when the end is not known. */
  readonly fraction?: number | undefined;
}

/** How far a download is. */
export interface DownloadState {
  /** The file that is on its way. */
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes?: number | undefined;
}

/**
 * The same for a corpus, whose end is known in bytes; rows that an earlier run had embedded do not count for the speed.
 */
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

/** A bar with rows and tokens a second, and the time left. */
export function embeddingProgress(): Promise<Progress<EmbeddingState>> {
  return createProgress<EmbeddingState>(({ rows, tokens, fraction }, seconds) => {
    const rate = (count: number): string => Math.round(count / Math.max(seconds, 0.001)).toLocaleString('en');
    const left = fraction ? formatDuration((seconds * (1 - fraction)) / fraction) : undefined;
    return [
      renderBar(fraction),
      `${rows.toLocaleString('en')} rows`,
      `${rate(rows)} rows/s`,
      `${rate(tokens)} tokens/s`,
      ...(left === undefined ? [] : [`${left} left`]),
    ].join('  ');
  });
}

/** A bar with the bytes of the file that is on its way. */
export function downloadProgress(model: string): Promise<Progress<DownloadState>> {
  return createProgress<DownloadState>(({ file, loadedBytes, totalBytes }) => {
    const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
    const of = totalBytes === undefined ? '' : ` of ${megabytes(totalBytes)}`;
    return `${renderBar(totalBytes ? loadedBytes / totalBytes : undefined)}  ${model}/${file}  ${megabytes(loadedBytes)}${of}`;
  });
}

/** How far training is. */
export interface TrainingState {
  readonly step: number;
  readonly totalSteps: number;
  readonly loss: number;
  readonly examples: number;
}

/**
 * A bar with the loss, the latest score, examples a second, and the time left. Steps that an earlier run had done do
 * not count for the speed.
 */
export async function trainingProgress(): Promise<
  Progress<TrainingState> & { readonly score: (score: number) => void }
> {
  let earlier: number | undefined;
  let latest: number | undefined;
  let examples = 0;
  const progress = await createProgress<TrainingState>(({ step, totalSteps, loss }, seconds) => {
    const done = step - (earlier ?? 0);
    return [
      renderBar(step / totalSteps),
      `step ${step} of ${totalSteps}`,
      `loss ${loss.toFixed(4)}`,
      ...(latest === undefined ? [] : [`score ${latest.toFixed(4)}`]),
      `${Math.round(examples / Math.max(seconds, 0.001))} examples/s`,
      `${formatDuration((seconds / Math.max(done, 1)) * (totalSteps - step))} left`,
    ].join('  ');
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

async function createProgress<State>(render: (state: State, seconds: number) => string): Promise<Progress<State>> {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const { default: cliProgress } = await import('cli-progress');
  let state: State | undefined;
  let started = 0;
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    fps: 8,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false, // Ctrl-C belongs to the command.
    format: () => (state === undefined ? '' : render(state, (performance.now() - started) / 1000)),
  });
  return {
    update: (next) => {
      const first = state === undefined;
      state = next;
      if (!first) return bar.update(0);
      started = performance.now();
      bar.start(1, 0);
    },
    stop: () => bar.stop(),
  };
}

const barLength = 24;

function renderBar(fraction: number | undefined): string {
  if (fraction === undefined) return '·'.repeat(barLength);
  const done = Math.round(Math.min(1, Math.max(0, fraction)) * barLength);
  return '█'.repeat(done) + '░'.repeat(barLength - done);
}

/** `4 s`, `2 min 05 s`, `3 h 07 min` */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
