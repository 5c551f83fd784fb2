import { onnx } from '@sentvec/backend-onnx';
import type { Backend } from '@sentvec/core';

/** The backend of a worker that names no other: onnxruntime. */
export default function onnxBackend({ threads }: { readonly threads?: number | undefined }): Backend {
  return onnx(threads === undefined ? {} : { sessions: threads, threadsPerSession: 1 });
}
