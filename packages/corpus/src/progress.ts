/** Progress of a run: the sum of what its chunks report. */
import type { CorpusChunk } from './chunk.ts';
import type { ChunkResult } from './steps/embed-chunk.ts';

/** The progress of a run. */
export interface CorpusProgressEvent {
  /**
   * `unpack`: inputs without random access (such as compressed ones) are unpacked to a copy, and only `bytes` counts.
   * `embed`: everything else.
   */
  readonly phase: 'unpack' | 'embed';
  /** Rows with a vector. */
  readonly rows: number;
  /** Of `rows`, those that an earlier run had embedded: they must not count for the speed. */
  readonly reusedRows: number;
  readonly rejected: number;
  readonly tokens: number;
  /** Bytes of the unpacked inputs that are done, finished chunks of an earlier run included. */
  readonly bytes: number;
  /** Of `bytes`, those of chunks that an earlier run had finished. */
  readonly reusedBytes: number;
  /** Bytes of all unpacked inputs; 0 while they are unpacked. */
  readonly totalBytes: number;
}

/** Sums what the chunks of a run report. */
export class CorpusProgress {
  readonly #report: ((event: CorpusProgressEvent) => void) | undefined;
  readonly #partial = new Map<number, { rows: number; tokens: number; bytes: number }>();
  readonly #done = { rows: 0, reusedRows: 0, rejected: 0, tokens: 0, bytes: 0, reusedBytes: 0 };
  #totalBytes = 0;

  constructor(report: ((event: CorpusProgressEvent) => void) | undefined) {
    this.#report = report;
  }

  /** Inputs have been unpacked up to this many bytes. */
  unpacked(bytes: number): void {
    this.#report?.({ ...this.#done, phase: 'unpack', bytes, totalBytes: 0 });
  }

  /** The preparation is done. */
  begin(totalBytes: number): void {
    this.#totalBytes = totalBytes;
    this.#emit();
  }

  /** More of a chunk is embedded. Texts that are embedded again after a failure do not count twice. */
  advance(chunk: CorpusChunk, { rows, tokens }: { readonly rows: number; readonly tokens: number }): void {
    const before = this.#partial.get(chunk.index)?.rows ?? 0;
    if (rows <= before) return;
    this.#partial.set(chunk.index, { rows, tokens, bytes: Math.floor(chunk.bytes * Math.min(1, rows / chunk.rows)) });
    this.#emit();
  }

  /** A chunk is finished. */
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
