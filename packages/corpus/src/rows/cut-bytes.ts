import type { ChunkLimits, Cut } from '../chunk.ts';
import { byteBlocks } from '../files/byte-range.ts';
import type { ByteFormat, CorpusOptions } from '../request.ts';
import type { Source } from '../sources/source.ts';
import { scannerOf, unclosedQuoteError } from './scanner-of.ts';

/**
 * Cuts a file whose rows are ranges of bytes into pieces within the limits. Reads the file once, a block at a time;
 * where it is cut depends on the file and the limits alone.
 *
 * @throws SentvecError `invalid-corpus` for a quote that nothing closes, `io-failed`
 */
export async function* cutBytes(
  source: Source & { readonly format: ByteFormat },
  split: CorpusOptions['split'],
  limits: ChunkLimits,
): AsyncGenerator<Cut, void> {
  const done: Cut[] = [];
  let open: Cut | undefined;
  let rows = 0;
  const scanner = scannerOf(
    source.format,
    split,
    { position: source.start, line: source.firstLine },
    (start, next, line) => {
      if (open && (open.rows === limits.rows || next - open.start > limits.bytes)) {
        done.push(open);
        open = undefined;
      }
      const from = open ?? { start, firstSourceRow: rows, rows: 0, firstLine: line };
      open = { ...from, end: next, rows: from.rows + 1, bytes: next - from.start };
      rows += 1;
    },
  );
  for await (const block of byteBlocks(source.path, source.start, source.bytes)) {
    scanner.push(block);
    yield* done.splice(0);
  }
  const unclosed = scanner.end();
  if (unclosed !== undefined) throw unclosedQuoteError(source.name, unclosed);
  if (open) done.push(open);
  yield* done;
}
