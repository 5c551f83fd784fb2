/**
 * The files that hold an encoder's weights, sorted: the one that the backend says it used, else `model.safetensors` or
 * its shards, else the ONNX file; an ONNX file with its external data.
 * @param files all files in the encoder's folder
 * @param used see {@link Encoder.weightsFile}
 */
export function weightFiles(files: readonly string[], used?: string): string[] {
  if (used !== undefined) return files.filter((file) => isPartOf(file, used));
  if (files.includes('model.safetensors')) return ['model.safetensors'];
  const shards = files.filter((file) => /^model-\d+-of-\d+\.safetensors$/u.test(file));
  if (shards.length > 0) return shards.sort();
  const graph = ['onnx/model.onnx', 'model.onnx'].find((file) => files.includes(file));
  return graph === undefined ? [] : files.filter((file) => isPartOf(file, graph));
}

/** `model.onnx` keeps large weights in `model.onnx_data` or `model.onnx.data` beside it. */
function isPartOf(file: string, graph: string): boolean {
  return file === graph || (file.startsWith(graph) && /^[._]data/u.test(file.slice(graph.length)));
}
