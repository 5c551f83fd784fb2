// A process with many simulated workers: the queue's worker and the workflow are real, and the model is a stub. The
// parent process passes the settings as JSON, and can request a report.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { startQueueWorker } from '@sentvec/queue';
import { embedCorpusWorkflow, restrictAccess } from '@sentvec/workflow';
import { seededRandom } from '../chaos/random.mjs';
import { standInEmbedder } from './stand-in-embedder.mjs';

const { url, workers, concurrency, window, chunkSeconds, recovery, seed } = JSON.parse(process.argv[2]);
const random = seededRandom(seed);
const tell = (message) => process.connected && process.send(message);
process.on('disconnect', () => process.exit());

let embedded = 0;
const embedder = standInEmbedder(async (texts, signal) => {
  // The preparation embeds one probe text to describe the embedding space.
  if (texts.length > 1) embedded += 1;
  await sleep(chunkSeconds * 1000 * (0.5 + random()), undefined, { signal });
});
const workflow = embedCorpusWorkflow({
  embedder: async () => embedder,
  access: restrictAccess({ roots: [], buckets: ['s3://bucket'], models: ['stand-in'] }),
});

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
let heap = 0;
setInterval(() => (heap = Math.max(heap, process.memoryUsage().heapUsed)), 500).unref();
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const cpuSeconds = (user + system) / 1e6;
  tell({ type: 'report', cpuSeconds, heap, longestDelay: delay.max / 1e6, embedded });
  delay.reset();
});

const observer = { recovered: (job) => tell({ type: 'recovered', job }) };
const logger = {
  debug: () => {},
  info: (_facts, message) => message === 'coordinating a run' && tell({ type: 'coordinates' }),
  warn: (facts, message) => tell({ type: 'warning', message, error: String(facts.error ?? facts.reason ?? '') }),
  error: (facts, message) =>
    tell({ type: 'warning', message, error: String(facts.error?.message ?? facts.reason ?? '') }),
};
const settings = { url, workflows: [workflow], concurrency, window, recovery, observer, logger };
// Real workers have one process each. Starting all of them at once in one process would block its event loop, so that
// connections time out.
for (let left = workers; left > 0; left -= 10)
  await Promise.all(Array.from({ length: Math.min(left, 10) }, () => startQueueWorker(settings)));
tell({ type: 'ready' });
