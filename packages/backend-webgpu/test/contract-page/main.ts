// The page in which the contract of backends runs; tests call what it puts on `window`. `?paths=ADDRESS` is where
// onnxruntime's files are.
import { webgpu } from '@sentvec/backend-webgpu';
import {
  cachedModel,
  loadEmbedder,
  SentvecError,
  urlModel,
  type Backend,
  type SelfCheckResult,
  type DownloadProgress,
  type ModelFiles,
} from '@sentvec/core';
import {
  backendChecks,
  type BackendCheck,
  type GoldenExpectation,
  type GoldenSource,
} from '@sentvec/testing/backend-checks';
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import { cachePipelines } from './cache-pipelines.ts';
import { reportGpu, watchGpu, type GpuReport } from './watch-gpu.ts';

/** What the page is asked to embed. */
export interface EmbedRequest {
  readonly backend: string;
  /** Address of the model's folder. */
  readonly model: string;
  readonly texts: readonly string[];
  /** @default the folder's standard file */
  readonly variant?: string | undefined;
  /**
   * All files of the folder.
   * @default those that the server lists
   */
  readonly files?: readonly string[] | undefined;
  /**
   * Stores the model in Cache storage, under this version.
   * @default does not store it
   */
  readonly version?: string | undefined;
}

/** The vectors, and what happened on the way. */
export interface EmbedReport extends GpuReport {
  readonly vectors: readonly (readonly number[])[];
  readonly selfCheck: SelfCheckResult | undefined;
  readonly progress: readonly DownloadProgress[];
}

declare global {
  interface Window {
    /** Set by the test: bytes of memory that the browser takes. */
    memoryInUse(): Promise<number>;
    /** Set by the test: the files of a golden model. */
    listGoldenModel(name: string): Promise<string[]>;
    /** Set by the test: a device that is not the backend's. */
    ownDevice?: GPUDevice | undefined;
    backends: Readonly<Record<string, (variant?: string) => Backend>>;
    /** Embeds texts, all in one call; the error's code and message when that fails. */
    embed(request: EmbedRequest): Promise<EmbedReport | { readonly code: string; readonly message: string }>;
    /** Makes one check; the reason of its failure, or nothing. */
    check(backend: string, name: string): Promise<string | undefined>;
  }
}

watchGpu();
if ('GPUDevice' in globalThis) cachePipelines();

const address = new URLSearchParams(location.search).get('paths');
const wasmPaths = address ?? { wasm: new URL(wasm, location.href).href, mjs: new URL(mjs, location.href).href };
const variantOf = (variant: string | undefined): { variant?: string } => (variant === undefined ? {} : { variant });

const backends: Window['backends'] = {
  webgpu: (variant) => webgpu({ wasmPaths, ...variantOf(variant) }),
  wasm: (variant) => webgpu({ wasmPaths, preferWasm: true, ...variantOf(variant) }),
  /** On a device of the page's own. */
  own: (variant) => webgpu({ wasmPaths, device: window.ownDevice!, ...variantOf(variant) }),
};
window.backends = backends;

const goldenModels = new Map<string, ModelFiles>();
const goldens: GoldenSource = {
  model: (name): ModelFiles => {
    const remote = { ...urlModel(`/goldens/models/${name}/`, { name }), list: () => window.listGoldenModel(name) };
    const model = goldenModels.get(name) ?? downloadOnce(remote);
    goldenModels.set(name, model);
    return model;
  },
  expectation: async (name): Promise<GoldenExpectation> =>
    (await fetch(`/goldens/models/${name}/expected.json`)).json(),
};
const memoryInUse = (): Promise<number> => window.memoryInUse();
const checks: Readonly<Record<string, readonly BackendCheck[]>> = {
  webgpu: backendChecks(backends['webgpu']!(), goldens, { tolerance: 1e-4, slowDevice: true, memoryInUse }),
  wasm: backendChecks(backends['wasm']!(), goldens, { tolerance: 1e-5, memoryInUse }),
};

window.check = async (backend, name) => {
  try {
    await checks[backend]!.find((each) => each.name === name)!.run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
};

window.embed = async ({ backend, model, texts, variant, files: paths, version }) => {
  const progress: DownloadProgress[] = [];
  const remote = urlModel(model, { files: paths, onProgress: (each) => progress.push(each) });
  const files = version === undefined ? remote : cachedModel(remote, { version });
  try {
    const embedder = await loadEmbedder(files, { backend: backends[backend]!(variant) });
    reportGpu();
    const { vectors } = await embedder.embed(texts);
    const report = reportGpu();
    await embedder.dispose();
    const rows = texts.map((_, row) => [...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols)]);
    return { ...report, vectors: rows, selfCheck: embedder.selfCheck, progress };
  } catch (error) {
    if (SentvecError.is(error)) return { code: error.code, message: error.message };
    throw error;
  }
};

/** A model whose files are downloaded once, however often it is loaded. Each reader gets a copy. */
function downloadOnce(files: ModelFiles): ModelFiles {
  const contents = new Map<string, Promise<Uint8Array>>();
  let paths: Promise<readonly string[]> | undefined;
  return {
    name: files.name,
    list: () => (paths ??= files.list()),
    read: async (path) => {
      const content = contents.get(path) ?? files.read(path);
      contents.set(path, content);
      return (await content).slice();
    },
  };
}
