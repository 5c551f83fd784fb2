import { webgpu } from '@sentvec/backend-webgpu';
import { cachedModel, loadEmbedder, rowOf, similarity, urlModel, type Embedder } from '@sentvec/core';
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';

/** A loaded model, and the device on which it runs. */
export interface PageModel {
  readonly embedder: Embedder;
  readonly device: string;
}

/**
 * Loads the model from this site. The browser downloads it once and keeps it in Cache storage.
 * @param onProgress called with the number of megabytes downloaded so far
 */
export async function loadModel(address: string, onProgress: (megabytes: number) => void): Promise<PageModel> {
  const absolute = (path: string): string => new URL(path, location.href).href;
  const backend = webgpu({ wasmPaths: { wasm: absolute(wasm), mjs: absolute(mjs) } });
  const arrived = new Map<string, number>();
  const model = urlModel(address, {
    onProgress: ({ file, loadedBytes }) => {
      arrived.set(file, loadedBytes);
      onProgress([...arrived.values()].reduce((sum, bytes) => sum + bytes, 0) / 1e6);
    },
  });
  const embedder = await loadEmbedder(cachedModel(model, { version: '1' }), { backend });
  const availability = await backend.isAvailable();
  return { embedder, device: availability.available ? availability.device : availability.reason };
}

/** Returns the matrix of the cosine similarities between all texts. */
export async function compare({ embedder }: PageModel, texts: readonly string[]): Promise<number[][]> {
  const { vectors } = await embedder.embed([...texts]);
  const cosines = similarity(vectors, vectors, 'cosine');
  return texts.map((_, row) => [...rowOf(cosines, row)]);
}
