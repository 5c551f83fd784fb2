/** Files by their paths in a folder. */
export type FolderFiles = Readonly<Record<string, Uint8Array | string>>;

/**
 * The files of a StaticEmbedding followed by a Normalize, in the layout of sentence-transformers.
 * @param tokenizer content of tokenizer.json
 * @param files further files of the StaticEmbedding, such as its weights
 */
export function staticFolder(tokenizer: unknown, files: FolderFiles): FolderFiles {
  const path = '0_StaticEmbedding';
  const own = Object.entries({ ...files, 'tokenizer.json': json(tokenizer) });
  return {
    ...Object.fromEntries(own.map(([name, content]) => [`${path}/${name}`, content])),
    'modules.json': json([moduleEntry(0, path, 'StaticEmbedding'), moduleEntry(1, '1_Normalize', 'Normalize')]),
    'config_sentence_transformers.json': settings(),
  };
}

/** `config_sentence_transformers.json` of a model without prompts. */
export function settings(): string {
  return json({ prompts: {}, default_prompt_name: null, similarity_fn_name: 'cosine' });
}

/** An entry of `modules.json`. */
export function moduleEntry(idx: number, path: string, kind: string): Readonly<Record<string, string | number>> {
  return { idx, name: String(idx), path, type: `sentence_transformers.models.${kind}` };
}

/**
 * Formats JSON for a file of a model folder.
 * @param source JSON text with the same keys. Numbers that it writes as floats, such as 2.0, are written as floats here
 * too, because transformers rejects an int where it expects a float
 */
export function json(value: unknown, source = ''): string {
  const floats = new Map(
    [...source.matchAll(/"([^"\\]+)"\s*:\s*(-?\d+)\.0+(?=\s*[,}])/gu)].map(([, key, whole]) => [key, whole]),
  );
  const text = JSON.stringify(value, undefined, 2).replaceAll(
    /"([^"\\]+)": (-?\d+)(?=,?\n)/gu,
    (line, key: string, whole: string) => (floats.get(key) === whole ? `${line}.0` : line),
  );
  return `${text}\n`;
}
