import { webgpu } from '@sentvec/backend-webgpu';
import { loadEmbedder, pairwiseSimilarity, urlModel } from '@sentvec/core';
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';

const sentences = new URLSearchParams(location.search).getAll('sentence');
const [first = 'A man is playing a guitar.', second = 'Someone makes music.'] = sentences;

const absolute = (address) => new URL(address, location.href).href;
const backend = webgpu({ wasmPaths: { wasm: absolute(wasm), mjs: absolute(mjs) } });
const embedder = await loadEmbedder(urlModel('models/use-lite'), { backend });
const { vectors } = await embedder.embed([first, second]);

const row = (index) => ({
  data: vectors.data.subarray(index * vectors.cols, (index + 1) * vectors.cols),
  rows: 1,
  cols: vectors.cols,
});
const [similarity] = pairwiseSimilarity(row(0), row(1));
const availability = await backend.isAvailable();
document.querySelector('#device').textContent = availability.available ? availability.device : availability.reason;
document.querySelector('#similarity').textContent = String(similarity);
