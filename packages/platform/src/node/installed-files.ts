/*
 * Where the files of packages are, found while the program runs. Bundlers rewrite `new URL('./file', import.meta.url)`,
 * `import.meta.resolve` and an imported `createRequire`, each in its own way; they do not recognize the calls in this
 * file.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SentvecError } from '../errors.ts';

/**
 * The path of an installed module, as `require` finds it from a file, else from the working folder of the program.
 * @param from `import.meta.url` of the caller; in a bundle, that of the bundle, or nothing
 * @returns `undefined` when it is not installed
 */
export function resolveInstalled(specifier: string, from: string | undefined): string | undefined {
  const { createRequire } = process.getBuiltinModule('node:module');
  for (const base of [from, pathToFileURL(join(process.cwd(), 'package.json')).href]) {
    if (!base?.startsWith('file:')) continue;
    try {
      return createRequire(base).resolve(specifier);
    } catch {
      // Not from here.
    }
  }
  return undefined;
}

/** A file of a package that a thread runs. */
export interface PackageFile {
  /** Its path from the file that starts the thread: `./session-worker.js`. */
  readonly file: string;
  /** How the package exports it: `@sentvec/backend-onnx/session-worker`. */
  readonly entry: string;
  /** `import.meta.url` of the file that starts the thread. */
  readonly from: string | undefined;
}

/**
 * The address of a file of a package: beside the file that names it, as in the package itself and in a bundle that has
 * the entry as a second output, else where the package is installed.
 * @throws SentvecError `bundled` when it is in neither place
 */
export function locatePackageFile({ file, entry, from }: PackageFile): URL {
  if (from?.startsWith('file:')) {
    // Bundlers may call their outputs .mjs.
    const beside = [file, file.replace(/\.js$/u, '.mjs')].map((name) => new URL(name, from));
    const found = beside.find((url) => existsSync(url));
    if (found !== undefined) return found;
  }
  const installed = resolveInstalled(entry, from);
  if (installed !== undefined) return pathToFileURL(installed);
  const message =
    `A bundler has put sentvec into the program but left ${entry} out, which a thread runs, and it is not installed ` +
    `where the program runs. Leave sentvec out of the bundle by one line, and install it beside: esbuild ` +
    `--external:@sentvec/*, Rollup external: [/^@sentvec\\//], webpack externals: [/^@sentvec\\//], Next.js ` +
    `serverExternalPackages: ['@sentvec/core', '@sentvec/backend-onnx'], Vite ssr: { external: true }. ` +
    `The guide "Bundlers and servers" has outputs that stand alone (Next.js, Nitro).`;
  throw new SentvecError('bundled', message, { file: from, entry });
}
