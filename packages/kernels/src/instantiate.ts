// The one way from a binary of this package to functions over a memory.

/** A WebAssembly memory, as much of it as is used here: the library of TypeScript has its type for browsers only. */
export interface KernelMemory {
  readonly buffer: ArrayBuffer;
}

/** A memory that can become larger: then it has a new buffer. */
export interface GrowableMemory extends KernelMemory {
  /** Adds pages of 64 KiB. */
  grow(pages: number): number;
}

/** A compiled module. */
export type KernelModule = object;

/** What this package uses of the WebAssembly interface. */
interface WebAssemblyInterface {
  readonly Module: new (bytes: Uint8Array) => KernelModule;
  readonly Memory: new (size: { initial: number }) => GrowableMemory;
  readonly Instance: new (module: KernelModule, imports: object) => { readonly exports: object };
  validate(bytes: Uint8Array): boolean;
}

const pageBytes = 65_536;

/** `undefined` where there is none, as in some edge runtimes. */
function webAssembly(): WebAssemblyInterface | undefined {
  return (globalThis as unknown as { WebAssembly?: WebAssemblyInterface }).WebAssembly;
}

/**
 * The first of some binaries that the engine has the instructions for, compiled. They have a few kilobytes: this takes
 * about a millisecond.
 * @throws Error when WebAssembly may not be compiled here, or has no 128-bit SIMD
 */
export function compileKernels(...binaries: readonly string[]): KernelModule {
  const engine = webAssembly();
  if (engine === undefined) throw new Error('There is no WebAssembly here.');
  const candidates = binaries.map((binary) => Uint8Array.from(atob(binary), (character) => character.charCodeAt(0)));
  return new engine.Module(candidates.find((bytes) => engine.validate(bytes)) ?? candidates.at(-1)!);
}

/** The functions of a module over a memory. */
export function instantiateKernels(module: KernelModule, memory: KernelMemory): object {
  return new (webAssembly()!.Instance)(module, { sentvec: { memory } }).exports;
}

/** A memory of at least so many bytes, all zero. */
export function kernelMemory(bytes: number): GrowableMemory {
  return new (webAssembly()!.Memory)({ initial: Math.max(1, Math.ceil(bytes / pageBytes)) });
}
