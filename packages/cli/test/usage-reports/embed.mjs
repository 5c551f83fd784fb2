// Embeds a text in the main thread, or in a worker thread of the program. Usage: embed.mjs HOW MODEL
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { onnx } from '@sentvec/backend-onnx';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';

const [how, model] = isMainThread ? process.argv.slice(2) : ['main', workerData];
if (how === 'main') {
  const embedder = await loadEmbedder(await directoryModel(model), { backend: onnx(), selfCheck: false });
  await embedder.embed(['Call me Ishmael.']);
  await embedder.dispose();
} else {
  // What a thread finds in an environment of its own does not reach the native library.
  const own = { env: { SENTVEC_CACHE: process.env.SENTVEC_CACHE, ORT_DISABLE_TELEMETRY: '1' } };
  const options = { workerData: model, ...(how === 'thread-with-environment' && own) };
  const thread = new Worker(new URL(import.meta.url), options);
  await new Promise((resolve, reject) => thread.once('error', reject).once('exit', resolve));
}
