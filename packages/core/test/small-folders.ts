import { memoryModel, writeSafetensors, type ModelFiles } from '@sentvec/core';

export type Folder = Record<string, unknown>;

/**
 * A small sentence-transformers folder; `changes` replace or (undefined) remove files. Values that are not bytes become
 * JSON.
 */
export function folder(changes: Folder = {}): ModelFiles {
  const files: Folder = {
    'modules.json': modules('Transformer', 'Pooling'),
    'config.json': { model_type: 'bert', hidden_size: 4 },
    '1_Pooling/config.json': { word_embedding_dimension: 4, pooling_mode_mean_tokens: true },
    ...changes,
  };
  return memoryModel(
    'model',
    Object.fromEntries(
      Object.entries(files)
        .filter(([, content]) => content !== undefined)
        .map(([path, content]) => [
          path,
          content instanceof Uint8Array || typeof content === 'string' ? content : JSON.stringify(content),
        ]),
    ),
  );
}

/**
 * A `modules.json` with these classes; by default the first has the path `''`, the next ones `1_Pooling`, `2_Dense`, …
 */
export function modules(...types: (string | { type: string; path: string })[]) {
  return types.map((entry, idx) => {
    const type = typeof entry === 'string' ? entry : entry.type;
    const kind = type.split('.').at(-1);
    const path = typeof entry === 'string' ? (idx === 0 ? '' : `${idx}_${kind}`) : entry.path;
    return {
      idx,
      name: String(idx),
      path,
      type: type.includes('.') || type === '' ? type : `sentence_transformers.models.${type}`,
    };
  });
}

export const numbers = (length: number) => Float32Array.from({ length }, (_, i) => i + 1);
export const dense = (rows: number, cols: number, more: Parameters<typeof writeSafetensors>[0] = {}) =>
  writeSafetensors({
    'linear.weight': { shape: [rows, cols], data: numbers(rows * cols) },
    'linear.bias': { shape: [rows], data: numbers(rows) },
    ...more,
  });
export const denseConfig = (config: Folder = {}) => ({
  in_features: 4,
  out_features: 3,
  bias: true,
  activation_function: 'torch.nn.modules.activation.Tanh',
  ...config,
});
export const withDense = (changes: Folder = {}) =>
  folder({
    'modules.json': modules('Transformer', 'Pooling', 'Dense'),
    '2_Dense/config.json': denseConfig(),
    '2_Dense/model.safetensors': dense(3, 4),
    ...changes,
  });

/** The folder `original` with the files in `changed` added or replaced, and without the paths in `without`. */
export function withFiles(
  original: ModelFiles,
  changed: ReadonlyMap<string, Uint8Array>,
  without: readonly string[] = [],
): ModelFiles {
  return {
    name: original.name,
    list: async () => [
      ...(await original.list()).filter((path) => !without.includes(path) && !changed.has(path)),
      ...changed.keys(),
    ],
    read: async (path) => changed.get(path) ?? original.read(path),
    size: async (path) => (changed.get(path) ?? (await original.read(path))).length,
  };
}
