// Starts the Chromium of the machine for tests.
import { existsSync, readFileSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const executables = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * No sandbox, since tests may run as root; nothing in the background; WebGPU on the software adapter that Chromium
 * brings.
 */
const quiet = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Optimizing onnxruntime's WebAssembly takes half a minute of computing, more than it saves in short tests. */
const quickCompilation = ['--js-flags=--liftoff-only'];
const softwareGpu = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
/**
 * Without setting the memory that a workgroup shares to zeros. Compiling that takes the software adapter one to two
 * seconds for each of onnxruntime's matrix products, nine tenths of the whole, and those kernels write before they read.
 * One example page compiles as users' browsers do.
 */
const quickShaders = ['--enable-dawn-features=disable_workgroup_init'];

/** How to start Chromium. */
export interface BrowserOptions {
  /**
   * Whether it has WebGPU.
   * @default true
   */
  readonly gpu?: boolean | undefined;
  /**
   * Whether it compiles shaders just as users' browsers do, which takes long.
   * @default false
   */
  readonly shadersAsShipped?: boolean | undefined;
}

/** Starts Chromium. */
export async function startBrowser({ gpu = true, shadersAsShipped = false }: BrowserOptions = {}): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] ?? executables.find((path) => existsSync(path));
  if (executablePath === undefined)
    throw new Error(
      'There is no Chromium: install it (apt-get install chromium), or name it in the variable CHROMIUM.',
    );
  const graphics = gpu
    ? [...softwareGpu, ...(shadersAsShipped ? [] : quickShaders)]
    : ['--disable-gpu', '--disable-features=WebGPU'];
  return chromium.launch({ executablePath, args: [...quiet, ...quickCompilation, ...graphics] });
}

/** Bytes that all processes of a browser have in memory. */
export async function memoryOf(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  try {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    return processInfo.reduce((sum, { id }) => sum + residentBytes(id), 0);
  } finally {
    await session.detach();
  }
}

/** The second number of statm counts pages of 4 KiB. */
function residentBytes(process: number): number {
  try {
    return Number(readFileSync(`/proc/${process}/statm`, 'utf8').split(' ')[1]) * 4096;
  } catch {
    return 0;
  }
}
