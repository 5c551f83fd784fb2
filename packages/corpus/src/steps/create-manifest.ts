import { isStorageUri } from '@sentvec/storage';
import { hasPieceRows } from '../request.ts';
import type { Manifest, ShardFile } from '../manifest.ts';
import type { ShardSummary } from '../manifest-parts.ts';
import { readCalibration } from '../run/calibration.ts';
import { readRunInputs, type CorpusRun, type RunInputs } from '../run/corpus-run.ts';

const nothing: ShardSummary = { rows: 0, pieces: 0, rejected: 0, truncated: 0, tokens: 0, shards: [] };

/**
 * Creates the manifest of a run: complete with all shards, or incomplete without shards.
 *
 * @param rejectedRows the file with the rejected rows, for a complete manifest
 * @throws SentvecError `invalid-output`, `io-failed`
 */
export async function createManifest(
  run: CorpusRun,
  finished?: ShardSummary,
  rejectedRows?: ShardFile,
): Promise<Manifest> {
  const inputs = await readRunInputs(run);
  const calibration = await readCalibration(run);
  const { precision, format, ...options } = run.options;
  const { rows, pieces, rejected, truncated, tokens, backends, shards, parts } = finished ?? nothing;
  return {
    sentvec: 1,
    complete: finished !== undefined,
    ...(finished === undefined && isStorageUri(run.output) && { run: run.key }),
    ...run.space,
    precision,
    format,
    idType: run.idType,
    rows,
    ...(hasPieceRows(run.options) && { pieces }),
    rejected,
    ...(rejectedRows && { rejectedRows }),
    truncated,
    tokens,
    ...(backends && { backends }),
    inputs: describeInputs(inputs),
    options,
    ...(calibration && { calibration }),
    shards,
    ...(parts && { parts }),
  };
}

/** The entries of a manifest for the inputs of a run. */
export function describeInputs({ found, inspected }: RunInputs): Manifest['inputs'] {
  return inspected.map(({ name, format, bytes }, index) => {
    const { kind, bytes: size } = found[index]!;
    return { file: name, format, bytes: kind === 'file' ? size : bytes };
  });
}
