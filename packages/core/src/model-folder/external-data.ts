/**
 * Which files beside an ONNX file may hold its weights (its external data). Mostly their names begin with its own; older
 * exporters name them after tensors, such as `Constant_7_attr__value`, so all that a name can tell is that it is none of
 * theirs.
 */

/** Names that external data never has: weights in other formats, tokenizers, configurations, programs, texts, pictures. */
const otherFiles = new RegExp(
  [
    String.raw`^\.`,
    String.raw`^(?:licen[cs]e|notice|readme)(?:\.|$)`,
    String.raw`^(?:pytorch_model|tf_model\.h5|flax_model\.msgpack|rust_model\.ot|training_args\.bin)`,
    String.raw`\.(?:gguf|h5|msgpack|onnx|ot|pt|pth|safetensors|tflite)$`,
    String.raw`\.(?:bpe|codes|jinja|json|metadata|model|spm|vocab|ya?ml)$`,
    String.raw`\.(?:gif|jpe?g|md|png|py|svg|txt)$`,
  ].join('|'),
  'iu',
);

/**
 * Whether a file beside an ONNX file cannot be its external data, by its name.
 * @param name without the folder
 */
export function cannotBeExternalData(name: string): boolean {
  return otherFiles.test(name);
}
