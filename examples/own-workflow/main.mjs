// Usage: node main.mjs FOLDER INDEX [REDIS_URL]. Runs the workflow in this process, or with REDIS_URL in workers that
// were started with `sentvec worker --plugin ./pages.mjs --root …`.
import { resolve } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { queueRuntime } from '@sentvec/queue';
import { inProcessRuntime, unrestrictedAccess } from '@sentvec/workflow';
import pages from './pages.mjs';

const [folder = '.', index = 'index', redis] = process.argv.slice(2);
const models = [];
const embedder = () => (models[0] ??= useLite().then((files) => loadEmbedder(files, { backend: onnx() })));
const runtime = redis ? await queueRuntime({ url: redis }) : inProcessRuntime();
const workflow = pages({ embedder, access: unrestrictedAccess });
const run = await runtime.start(workflow, { folder: resolve(folder), index: resolve(index) });
console.log(await run.result());
await runtime.close();
for (const model of await Promise.all(models)) await model.dispose();
