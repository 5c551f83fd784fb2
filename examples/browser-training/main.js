// ?backend=wasm trains on WebAssembly; ?model=ADDRESS another model.
import { urlModel } from '@sentvec/core';
import { graphEngine } from '@sentvec/training';
import * as onnxruntime from 'onnxruntime-web/webgpu';
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import { trainPairs } from './train-pairs.js';

const query = new URLSearchParams(location.search);
const backend = query.get('backend') ?? (navigator.gpu === undefined ? 'wasm' : 'webgpu');
const absolute = (address) => new URL(address, location.href).href;
onnxruntime.env.wasm.wasmPaths = { wasm: absolute(wasm), mjs: absolute(mjs) };

const openEngine = (graphs) =>
  graphEngine(onnxruntime, graphs, {
    name: backend,
    session: { executionProviders: [backend] },
    writesInPlace: false,
  });

function showStep({ step, loss }) {
  const row = document.querySelector('#losses').insertRow();
  row.insertCell().textContent = step;
  row.insertCell().textContent = loss;
}

const state = document.querySelector('#state');
try {
  await trainPairs(urlModel(query.get('model') ?? 'models/use-lite'), openEngine, showStep);
  state.textContent = `Trained on ${backend}.`;
} catch (error) {
  state.textContent = error.message;
  throw error;
}
