/**
 * Validates a structure in Thrift's compact protocol, the encoding of Parquet's footer and page headers, before a
 * library reads it: lengths must stay within the bytes, and nesting must be limited.
 *
 * Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 */

/** Maximum nesting. Parquet's own structures have at most five levels. */
const deepest = 32;

/**
 * @param view begins with the first byte of the structure, and may be longer than it
 * @returns its length in bytes
 * @throws Error when it is damaged; RangeError when the bytes end before the structure does
 */
export function checkThrift(view: DataView): number {
  const walker = new ThriftWalker(view);
  walker.skipStruct(0);
  return walker.offset;
}

class ThriftWalker {
  readonly #view: DataView;
  offset = 0;

  constructor(view: DataView) {
    this.#view = view;
  }

  skipStruct(depth: number): void {
    if (depth > deepest) throw new Error('its structures are nested too deeply');
    for (;;) {
      const byte = this.#byte();
      const type = byte & 0x0f;
      if (type === 0) return;
      if (byte >> 4 === 0) this.#skipVarint();
      this.#skipValue(type, depth);
    }
  }

  #skipValue(type: number, depth: number): void {
    switch (type) {
      case 1: // true and false have no bytes
      case 2:
        return;
      case 3:
        return this.#skip(1);
      case 4:
      case 5:
      case 6:
        return this.#skipVarint();
      case 7:
        return this.#skip(8);
      case 8:
        return this.#skip(this.#length());
      case 9:
        return this.#skipList(depth + 1);
      case 12:
        return this.skipStruct(depth + 1);
      default:
        throw new Error(`it has a field of the unknown type ${type}`);
    }
  }

  #skipList(depth: number): void {
    const byte = this.#byte();
    const type = byte & 0x0f;
    const size = byte >> 4 === 15 ? this.#length() : byte >> 4;
    // Each element has at least one byte.
    if (size > this.#view.byteLength - this.offset) throw new RangeError('it has a list that is longer than its bytes');
    for (let index = 0; index < size; index += 1) this.#skipValue(type === 1 || type === 2 ? 3 : type, depth);
  }

  #byte(): number {
    const byte = this.#view.getUint8(this.offset);
    this.offset += 1;
    return byte;
  }

  #skip(bytes: number): void {
    if (bytes > this.#view.byteLength - this.offset) throw new RangeError('it ends before its fields do');
    this.offset += bytes;
  }

  /** Reads an unsigned varint of at most 31 bits. */
  #length(): number {
    const start = this.offset;
    this.#skipVarint();
    let length = 0;
    for (let at = this.offset - 1; at >= start; at -= 1) length = length * 128 + (this.#view.getUint8(at) & 0x7f);
    if (length > 0x7fff_ffff) throw new Error('it has a length beyond 31 bits');
    return length;
  }

  #skipVarint(): void {
    for (let bytes = 1; ; bytes += 1) {
      if (bytes > 10) throw new Error('it has a number of more than ten bytes');
      if (this.#byte() < 0x80) return;
    }
  }
}
