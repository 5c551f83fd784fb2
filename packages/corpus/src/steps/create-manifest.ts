import { isStorageUri } from '@sentvec/storage';
import { hasPieceRows } from '../request.ts';
import { vectorsIn, type Manifest, type ShardEntry, type ShardFile } from '../manifest.ts';
import { readCalibration } from '../run/calibration.ts';
import { readRunInputs, type CorpusRun, type RunInputs } from '../run/corpus-run.ts';

/**
 * Creates the manifest of a run: complete with all shards, or incomplete without shards.
 *
 * @param rejectedRows the file with the rejected rows, for a complete manifest
 * @throws SentvecError `invalid-output`, `io-failed`
 */
export async function createManifest(
  run: CorpusRun,
  shards?: readonly ShardEntry[],
  rejectedRows?: ShardFile,
): Promise<Manifest> {
  const inputs = await readRunInputs(run);
  const calibration = await readCalibration(run);
  const { precision, format, ...options } = run.options;
  const total = (count: 'rows' | 'rejected' | 'truncated' | 'tokens'): number =>
    (shards ?? []).reduce((sum, shard) => sum + shard[count], 0);
  const removed = (shards ?? []).flatMap((shard) => shard.removed ?? []);
  const backends = [...new Set((shards ?? []).flatMap(({ backend }) => backend ?? []))].sort();
  return {
    sentvec: 1,
    complete: shards !== undefined,
    ...(shards === undefined && isStorageUri(run.output) && { run: run.key }),
    ...run.space,
    precision,
    format,
    idType: run.idType,
    rows: total('rows') - removed.reduce((sum, { rows }) => sum + rows, 0),
    ...(hasPieceRows(run.options) && { pieces: (shards ?? []).reduce((sum, shard) => sum + vectorsIn(shard), 0) }),
    rejected: total('rejected'),
    ...(rejectedRows && { rejectedRows }),
    truncated: total('truncated'),
    tokens: total('tokens'),
    ...(backends.length > 0 && { backends }),
    inputs: describeInputs(inputs),
    options,
    ...(calibration && { calibration }),
    shards: shards ?? [],
  };
}

/** The entries of a manifest for the inputs of a run. */
export function describeInputs({ found, inspected }: RunInputs): Manifest['inputs'] {
  return inspected.map(({ name, format, bytes }, index) => {
    const { kind, bytes: size } = found[index]!;
    return { file: name, format, bytes: kind === 'file' ? size : bytes };
  });
}
