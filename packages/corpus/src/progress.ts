/** Progress of a run: the sum of the progress of its chunks. */
import type { CorpusChunk } from './chunk.ts';
import type { ChunkResult } from './steps/embed-chunk.ts';

/** The progress of a run. */
export interface CorpusProgressEvent {
  /**
   * `unpack`: inputs without random access, such as compressed ones, are copied; only `bytes` changes. `embed`: the
   * rows are embedded.
   */
  readonly phase: 'unpack' | 'embed';
  /** Number of embedded rows so far. */
  readonly rows: number;
  /** How many of `rows` were embedded by an earlier run. Subtract them to compute the speed. */
  readonly reusedRows: number;
  readonly rejected: number;
  readonly tokens: number;
  /** Processed bytes of the unpacked inputs, including chunks that an earlier run finished. */
  readonly bytes: number;
  /** How many of `bytes` belong to chunks that an earlier run finished. */
  readonly reusedBytes: number;
  /** Total bytes of all unpacked inputs; 0 during `unpack`. */
  readonly totalBytes: number;
}

/** Sums the progress of the chunks of a run. */
export class CorpusProgress {
  readonly #report: ((event: CorpusProgressEvent) => void) | undefined;
  readonly #partial = new Map<number, { rows: number; tokens: number; bytes: number }>();
  readonly #done = { rows: 0, reusedRows: 0, rejected: 0, tokens: 0, bytes: 0, reusedBytes: 0 };
  #totalBytes = 0;

  constructor(report: ((event: CorpusProgressEvent) => void) | undefined) {
    this.#report = report;
  }

  /** Reports that `bytes` bytes were unpacked so far. */
  unpacked(bytes: number): void {
    this.#report?.({ ...this.#done, phase: 'unpack', bytes, totalBytes: 0 });
  }

  /** Starts the phase `embed`. */
  begin(totalBytes: number): void {
    this.#totalBytes = totalBytes;
    this.#emit();
  }

  /** Reports progress within a chunk. Texts that are embedded again after a failure are counted once. */
  advance(chunk: CorpusChunk, { rows, tokens }: { readonly rows: number; readonly tokens: number }): void {
    const before = this.#partial.get(chunk.index)?.rows ?? 0;
    if (rows <= before) return;
    this.#partial.set(chunk.index, { rows, tokens, bytes: Math.floor(chunk.bytes * Math.min(1, rows / chunk.rows)) });
    this.#emit();
  }

  /** Reports a finished chunk. */
  finish({ index, rows, rejected, tokens, bytes, reused }: ChunkResult): void {
    this.#partial.delete(index);
    this.#done.rows += rows;
    this.#done.rejected += rejected;
    this.#done.tokens += tokens;
    this.#done.bytes += bytes;
    if (reused) {
      this.#done.reusedRows += rows;
      this.#done.reusedBytes += bytes;
    }
    this.#emit();
  }

  #emit(): void {
    if (!this.#report) return;
    const sum = { ...this.#done };
    for (const { rows, tokens, bytes } of this.#partial.values()) {
      sum.rows += rows;
      sum.tokens += tokens;
      sum.bytes += bytes;
    }
    this.#report({ ...sum, phase: 'embed', totalBytes: this.#totalBytes });
  }
}
