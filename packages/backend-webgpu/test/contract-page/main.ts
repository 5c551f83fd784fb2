// The page in which the contract of backends runs; the test calls what it puts on `window`.
import { webgpu } from '@sentvec/backend-webgpu';
import { cachedModel, urlModel, type Backend, type ModelFiles } from '@sentvec/core';
import { backendChecks, type BackendCheck, type GoldenExpectation, type GoldenSource } from '@sentvec/testing/backend-checks';
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';

declare global {
  interface Window {
    /** Set by the test: bytes of memory that the browser takes. */
    memoryInUse(): Promise<number>;
    /** Set by the test: the files of a golden model. */
    listGoldenModel(name: string): Promise<string[]>;
    backends: Readonly<Record<string, Backend>>;
    /** Reads a golden model's configuration through the cache. */
    readCached(version: string): Promise<{ readonly text: string; readonly downloads: number }>;
    /** Makes one check; the reason of its failure, or nothing. */
    check(backend: string, name: string): Promise<string | undefined>;
  }
}

const wasmPaths = { wasm: new URL(wasm, location.href).href, mjs: new URL(mjs, location.href).href };
const goldens: GoldenSource & { expectation(name: string): Promise<GoldenExpectation> } = {
  model: (name: string): ModelFiles => ({
    ...urlModel(`/goldens/models/${name}/`, { name }),
    list: () => window.listGoldenModel(name),
  }),
  expectation: async (name: string) => (await fetch(`/goldens/models/${name}/expected.json`)).json(),
};
/** A software adapter takes seconds to compile the shaders of each shape, so that the GPU gets fewer texts. */
const fewerGoldens: GoldenSource = {
  ...goldens,
  expectation: async (name) => {
    const all = await goldens.expectation(name);
    return { ...all, cases: all.cases.filter((each, index) => each.token_embeddings !== undefined || index % 4 === 0) };
  },
};
const memoryInUse = (): Promise<number> => window.memoryInUse();

const backends = { webgpu: webgpu({ wasmPaths }), wasm: webgpu({ wasmPaths, preferWasm: true }) };
const checks: Readonly<Record<string, BackendCheck[]>> = {
  webgpu: backendChecks(backends.webgpu, fewerGoldens, { tolerance: 1e-4, memoryInUse }),
  wasm: backendChecks(backends.wasm, goldens, { tolerance: 1e-5, memoryInUse }),
};

window.backends = backends;
window.readCached = async (version) => {
  let downloads = 0;
  const model = urlModel('/goldens/models/tiny-bert/', { name: 'tiny-bert', onProgress: () => downloads++ });
  const bytes = await cachedModel(model, { version }).read('config.json');
  return { text: new TextDecoder().decode(bytes), downloads };
};
window.check = async (backend, name) => {
  try {
    await checks[backend]!.find((each) => each.name === name)!.run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
};
