import { onnx } from '@sentvec/backend-onnx';
import { similarity } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';

let loading;

export async function GET() {
  loading ??= useLite().then((model) => loadEmbedder(model, { backend: onnx() }));
  const embedder = await loading;
  const { vectors } = await embedder.embed(['A cat sleeps in the sun.', 'A kitten naps outside.']);
  return Response.json({ similarity: similarity(vectors, vectors).data[1] });
}
