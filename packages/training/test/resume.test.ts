import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { goldenModel, goldenPath } from '@sentvec/testing';
import { trainableTensors } from '@sentvec/training';
import { loadTrainable } from '@sentvec/training/node';
import { reasonWithoutTmpfs } from '../../corpus/test/tmpfs.ts';
import { jsonLines, samplePairs } from './sample-pairs.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-resume-'));
  await writeFile(join(folder, 'pairs.jsonl'), jsonLines(samplePairs(160)));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function writeConfig(output: string, evaluated = true, changes: object = {}) {
  const data = { file: 'pairs.jsonl', columns: ['a', 'b'], label: 'score' };
  const config = {
    model: goldenPath('models/tiny-bert'),
    output,
    data: [{ ...data, loss: 'CoSENTLoss' }],
    ...(evaluated ? { evaluation: { ...data, type: 'sts' } } : {}),
    epochs: 3,
    batchSize: 8,
    learningRate: 1e-3,
    dropout: true,
    checkpointEvery: 4,
    threads: 1,
    ...changes,
  };
  const file = join(folder, `${output.replace('/', '-')}.json`);
  await writeFile(file, JSON.stringify(config));
  return file;
}

/**
 * Runs a training process and kills it with SIGKILL at the step `killAt`. Resolves to its exit code, or `null` if it
 * was killed.
 */
async function run(
  config: string,
  { resume = false, killAt }: { resume?: boolean; killAt?: number } = {},
): Promise<number | null> {
  const script = fileURLToPath(new URL('run-training.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, config, ...(resume ? ['resume'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (Number(line) === killAt) child.kill('SIGKILL');
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

/**
 * Runs a training process with a small tmpfs at `small`, in a separate mount namespace, so that nothing stays mounted.
 * Its files are copied to `kept`.
 */
function runOnSmallDisk(config: string, small: string, bytes: number, kept: string) {
  const mount = `mount -t tmpfs -o size=${bytes} tmpfs ${small}; "$0" "$@"; code=$?; cp -a ${small}/. ${kept}; exit $code`;
  const script = fileURLToPath(new URL('run-training.mjs', import.meta.url));
  return spawnSync('unshare', ['-m', 'sh', '-c', mount, process.execPath, script, config], { encoding: 'utf8' });
}

test('a run that is killed within epochs and resumed has bit-identical weights to an undisturbed run', async () => {
  const undisturbed = await writeConfig('undisturbed');
  const disturbed = await writeConfig('disturbed');
  expect(await run(undisturbed)).toBe(0);
  // 20 steps per epoch, and a checkpoint every 4 steps.
  expect(await run(disturbed, { killAt: 7 })).toBeNull();
  expect(await run(disturbed, { resume: true, killAt: 30 })).toBeNull();
  expect(existsSync(join(folder, 'disturbed'))).toBe(false);
  expect(await run(disturbed, { resume: true })).toBe(0);
  for (const file of ['model.safetensors', 'onnx/model.onnx']) {
    const [expected, actual] = [
      await readFile(join(folder, 'undisturbed', file)),
      await readFile(join(folder, 'disturbed', file)),
    ];
    expect([file, actual.equals(expected)]).toEqual([file, true]);
  }
  expect((await readdir(folder)).filter((name) => name.includes('checkpoint') || name.includes('.tmp'))).toEqual([]);
});

test.skipIf(reasonWithoutTmpfs !== undefined)(
  `a disk that is full at the second checkpoint keeps the first, says so, and the run goes on from it (${reasonWithoutTmpfs ?? 'full disk'})`,
  async () => {
    const { model } = await loadTrainable(goldenModel('tiny-bert'));
    const bytes = trainableTensors(model).reduce((sum, { data }) => sum + 3 * data.byteLength, 0);
    const small = await mkdtemp(join(folder, 'small-'));
    const kept = await mkdtemp(join(folder, 'kept-'));
    const config = await writeConfig(join(small, 'out').slice(folder.length + 1), false);
    // The disk has space for one and a half checkpoints.
    const full = runOnSmallDisk(config, small, Math.round(1.5 * bytes), kept);
    expect(full.status).toBe(1);
    expect(full.stderr).toMatch(
      /Writing the checkpoint failed: .*out\.checkpoint\.safetensors \(ENOSPC\)\. The disk is full\. Free some space\. The weights of step 4 are in .*out\.checkpoint\.safetensors/,
    );
    expect(full.stdout.trim().split('\n').at(-1)).toBe('8');
    expect(await readdir(kept)).toEqual(['out.checkpoint.safetensors']);
    const resumed = await writeConfig(join(kept, 'out').slice(folder.length + 1), false);
    expect(await run(resumed, { resume: true })).toBe(0);
    expect(await run(await writeConfig('with-room', false))).toBe(0);
    const weights = (output: string) => readFile(join(output, 'model.safetensors'));
    expect((await weights(join(kept, 'out'))).equals(await weights(join(folder, 'with-room')))).toBe(true);
  },
);

test.skipIf(reasonWithoutTmpfs !== undefined)(
  `a disk that is too small for the model keeps what was trained in a checkpoint, and says so (${reasonWithoutTmpfs ?? 'full disk'})`,
  async () => {
    const { model } = await loadTrainable(goldenModel('tiny-bert'));
    const bytes = trainableTensors(model).reduce((sum, { data }) => sum + data.byteLength, 0);
    const small = await mkdtemp(join(folder, 'small-'));
    const kept = await mkdtemp(join(folder, 'kept-'));
    // Only one of three layers is trained, so the checkpoint is smaller than the model.
    const changes = {
      freeze: ['embeddings', 'encoder.layer.0', 'encoder.layer.1'],
      checkpointEvery: 500,
      epochs: 1,
    };
    const config = await writeConfig(join(small, 'out').slice(folder.length + 1), false, changes);
    const full = runOnSmallDisk(config, small, bytes, kept);
    expect(full.status).toBe(1);
    expect(full.stderr).toMatch(
      /Writing the model failed: .*out \(ENOSPC\)\. The disk is full\. Free some space\. Nothing was left there\. The weights of step 20 are in .*out\.checkpoint\.safetensors/,
    );
    expect(await readdir(kept)).toEqual(['out.checkpoint.safetensors']);
    const resumed = await writeConfig(join(kept, 'out').slice(folder.length + 1), false, changes);
    expect(await run(resumed, { resume: true, killAt: 1 })).toBe(0);
    expect(await readdir(join(kept, 'out'))).toContain('model.safetensors');
  },
);
