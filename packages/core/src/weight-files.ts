/**
 * The files of a model that hold its encoder's weights, sorted: the file that the backend says it used, else
 * `model.safetensors` or its shards, else the ONNX file with its external data.
 * @param files all files of the model
 * @param folder the encoder's folder in the model, `''` for the model's own
 * @param used see {@link Encoder.weightsFile}
 */
export function weightFiles(files: readonly string[], folder: string, used?: string): string[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  if (used !== undefined) return files.filter((file) => isPartOf(file, used));
  const single = `${prefix}model.safetensors`;
  if (files.includes(single)) return [single];
  const shards = files.filter((file) => file.startsWith(prefix) && /^model-\d+-of-\d+\.safetensors$/u.test(file.slice(prefix.length)));
  if (shards.length > 0) return shards.sort();
  const graph = [`${prefix}onnx/model.onnx`, `${prefix}model.onnx`].find((file) => files.includes(file));
  return graph === undefined ? [] : files.filter((file) => isPartOf(file, graph));
}

/** `model.onnx` keeps large weights in `model.onnx_data` or `model.onnx.data` beside it. */
function isPartOf(file: string, graph: string): boolean {
  return file === graph || (file.startsWith(graph) && /^[._]data/u.test(file.slice(graph.length)));
}
