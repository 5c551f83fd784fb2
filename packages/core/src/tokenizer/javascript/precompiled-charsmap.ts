/** Characters that may form graphemes with their neighbours: others than printable ASCII, with one of these on either side. */
const complexRun = /[ -~]?(?:[^ -~]+[ -~]?)+/gu;

/**
 * The table of replacements that SentencePiece compiles into a model (`precompiled_charsmap`): a double-array trie over
 * UTF-8 bytes (Darts, https://github.com/s-yata/darts-clone), and behind it the replacements, each ended by a zero byte.
 */
export class PrecompiledCharsmap {
  readonly #trie: Uint32Array;
  readonly #replacements: Uint8Array;
  /** Replacement of a string that was looked up before; `undefined` is in here too. */
  readonly #known = new Map<string, string | undefined>();
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  readonly #graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

  readonly #replacesAscii: boolean;

  /** @param charsmap in base 64 */
  constructor(charsmap: string) {
    const bytes = Uint8Array.from(atob(charsmap), (character) => character.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const trieBytes = view.getUint32(0, true);
    this.#trie = Uint32Array.from({ length: trieBytes / 4 }, (_, index) => view.getUint32(4 + index * 4, true));
    this.#replacements = bytes.subarray(4 + trieBytes);
    this.#replacesAscii = Array.from({ length: 95 }, (_, index) => this.#lookUp(String.fromCharCode(32 + index))).some(
      (replacement) => replacement !== undefined,
    );
  }

  /** Replaces what the table has, as the normalizer `Precompiled` of the Rust tokenizers does: by graphemes of less than six bytes, else by characters. */
  normalize(text: string): string {
    if (this.#replacesAscii) return this.#normalizeGraphemes(text);
    return text.replaceAll(complexRun, (run) => this.#normalizeGraphemes(run));
  }

  #normalizeGraphemes(run: string): string {
    let result = '';
    for (const { segment } of this.#graphemes.segment(run)) {
      const whole = this.#encoder.encode(segment).length < 6 ? this.#lookUp(segment) : undefined;
      if (whole === undefined) for (const character of segment) result += this.#lookUp(character) ?? character;
      else result += whole;
    }
    return result;
  }

  #lookUp(text: string): string | undefined {
    if (this.#known.has(text)) return this.#known.get(text);
    const replacement = this.#search(this.#encoder.encode(text));
    if (this.#known.size < 2 ** 16) this.#known.set(text, replacement);
    return replacement;
  }

  /** The replacement of the shortest prefix in the trie. That it stands for the whole is an oddity of the original. */
  #search(bytes: Uint8Array): string | undefined {
    let node = offsetOf(this.#trie[0] ?? 0);
    for (const byte of bytes) {
      if (byte === 0) return undefined;
      node ^= byte;
      const unit = this.#trie[node] ?? 0;
      if (labelOf(unit) !== byte) return undefined;
      node ^= offsetOf(unit);
      if (hasLeaf(unit)) return this.#replacementAt((this.#trie[node] ?? 0) & 0x7fffffff);
    }
    return undefined;
  }

  #replacementAt(start: number): string {
    const end = this.#replacements.indexOf(0, start);
    return this.#decoder.decode(this.#replacements.subarray(start, end === -1 ? undefined : end));
  }
}

/** The fields of a unit of the double array; see `details::DoubleArrayUnit` in darts.h. */
function hasLeaf(unit: number): boolean {
  return ((unit >>> 8) & 1) === 1;
}

function labelOf(unit: number): number {
  return (unit & 0x800000ff) >>> 0;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
