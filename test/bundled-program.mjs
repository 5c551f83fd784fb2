// A program to be bundled: prints how alike two texts are, as the default model says, and how the others differ.
import { similarity } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';
import { useLite } from '@sentvec/model-use-lite';

async function main() {
  const embedder = await loadEmbedder(await useLite(), { backend: onnx() });
  const { vectors } = await embedder.embed(['A cat sleeps in the sun.', 'A kitten naps outside.']);
  await embedder.dispose();
  return similarity(vectors, vectors).data[1].toFixed(4);
}

main().then(console.log, ({ code, message }) => {
  console.error(code, message);
  process.exitCode = 1;
});
