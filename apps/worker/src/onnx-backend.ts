import { onnx } from '@sentvec/backend-onnx';
import type { Backend } from '@sentvec/core';

/** Creates the default backend of a worker: onnxruntime. */
export default function onnxBackend({ threads }: { readonly threads?: number | undefined }): Backend {
  return onnx(threads === undefined ? {} : { sessions: threads, threadsPerSession: 1 });
}
