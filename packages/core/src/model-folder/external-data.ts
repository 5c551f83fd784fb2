/**
 * Decides which files next to an ONNX file may be its external data, that is, its weights. Usually their names begin
 * with the name of the ONNX file, but older exporters name them after tensors (`Constant_7_attr__value`). A name can
 * therefore only rule out that a file is external data.
 */

/**
 * Names that external data never has: those of weights in other formats, tokenizers, configurations, code, texts and
 * images.
 */
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
 * Whether the name of a file next to an ONNX file rules out that the file is external data.
 * @param name without the folder
 */
export function cannotBeExternalData(name: string): boolean {
  return otherFiles.test(name);
}
