// Changes the inputs of runs, and deletes and truncates their shards, during the run and after it. Each run must end
// with the output of an undisturbed run over the original inputs, or fail with an error that names the file.
import { copyFile, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow, hasEnded } from '@sentvec/workflow';
import { writeCorpus } from './corpus.mjs';
import { pick } from './random.mjs';

const rows = 5000;
const chunkRows = 250;

/** @param context `{ model, fingerprint, root, disk, redis, random, undisturbed, mustBeIdentical, say }` of the chaos test */
export async function damageFolders({
  model,
  fingerprint,
  root,
  disk,
  redis,
  random,
  undisturbed,
  mustBeIdentical,
  say,
}) {
  const runtime = await queueRuntime({ url: redis.url });
  const corpus = join(root, 'damaged.jsonl');
  const request = (output) => ({ inputs: [corpus], output: join(disk, output), chunkRows });
  const start = (output) => runtime.start(embedCorpusWorkflow(), { model, fingerprint, request: request(output) });
  await writeCorpus(corpus, rows);
  const copy = join(root, 'damaged-copy.jsonl');
  await copyFile(corpus, copy);
  await undisturbed(request('expected'));
  const expected = join(disk, 'expected');

  /** Waits until the run ends. Throws unless its output is correct or its error names the damaged file. */
  const settle = async (what, run, output, cause) => {
    const error = await run.result().then(
      () => undefined,
      (reason) => reason,
    );
    if (error === undefined) {
      await mustBeIdentical(join(disk, output), expected);
      say(`  ${what}: the output is that of an undisturbed run`);
    } else if (cause.test(error.message)) {
      say(`  ${what}: failed with "${error.message}"`);
    } else {
      throw new Error(`${what}: the run failed without naming the cause: ${error.message}`, { cause: error });
    }
    return error;
  };

  for (const [what, damage] of Object.entries(inputDamages(corpus, random))) {
    const run = await start('input');
    await reach(run, 0.3);
    await damage();
    const error = await settle(`input changed during the run, ${what}`, run, 'input', /damaged\.jsonl/);
    if (!error) throw new Error(`${what}: the run completed although its input changed.`);
    await copyFile(copy, corpus);
    await rm(join(disk, 'input'), { recursive: true });
  }

  for (const [what, damage] of Object.entries(shardDamages)) {
    const run = await start('shards');
    await reach(run, 0.3);
    await damage(await someShard(join(disk, 'shards'), random), random);
    if (await settle(`shard ${what} during the run`, run, 'shards', /shard-|\d{5}/)) {
      await run.replay();
      await run.result();
      await mustBeIdentical(join(disk, 'shards'), expected);
      say('    replayed: the output is that of an undisturbed run');
    }
    await damage(await someShard(join(disk, 'shards'), random), random);
    await run.replay();
    await settle(`shard ${what} after the run, which was replayed`, run, 'shards', /shard-|\d{5}/);
    await rm(join(disk, 'shards'), { recursive: true });
  }
  await runtime.close();
}

async function reach(run, share) {
  for (;;) {
    const { items, state } = await run.status();
    if ((items?.done ?? 0) >= share * (rows / chunkRows)) return;
    if (hasEnded(state)) throw new Error(`The run was ${state} before any file was damaged.`);
    await sleep(20);
  }
}

/** Ways to damage the input. Each leaves the first tenth unchanged, because the run has read it already. */
function inputDamages(corpus, random) {
  return {
    'a letter of a later row': async () => {
      const { size } = await stat(corpus);
      await flip(corpus, Math.floor(size * (0.8 + 0.15 * random())));
    },
    'rows added': async () => {
      const file = await open(corpus, 'a');
      await file.write('{"text": "one more"}\n');
      await file.close();
    },
    cut: async () => truncate(corpus, Math.floor((await stat(corpus)).size * 0.9)),
    replaced: async () => {
      await rm(corpus);
      await writeCorpus(corpus, rows + 1);
    },
  };
}

const shardDamages = {
  deleted: (shard) => rm(shard),
  cut: async (shard) => truncate(shard, (await stat(shard)).size >> 1),
};

async function someShard(output, random) {
  const names = await readdir(output, { recursive: true });
  return join(output, pick(random, names.filter((name) => /^shard-\d+\.[\w.]+$/.test(name)).sort()));
}

/** Replaces one letter in the 200 bytes after a position. */
async function flip(path, position) {
  const file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(200), 0, 200, position);
  // A letter inside a word of the text: the line stays valid JSON.
  const offset = buffer.toString('latin1').search(/(?<=[a-z])[a-z](?=[a-z]* [a-z])/);
  if (offset === -1) throw new Error(`${path} has no letter to replace in the 200 bytes after byte ${position}.`);
  await file.write(buffer[offset] === 0x6e ? 'm' : 'n', position + offset);
  await file.close();
}
