import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

/** Where Chromium's packages put the description of their software adapter. */
const drivers = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json'];

/** A device of Dawn in this process, on the software adapter that comes with Chromium. */
export async function softwareDevice(): Promise<{ readonly device: GPUDevice; readonly gpu: GPU }> {
  const driver = process.env['VK_ICD_FILENAMES'] ?? drivers.find((path) => existsSync(path));
  if (driver === undefined)
    throw new Error(
      'There is no software adapter for WebGPU: install chromium and libvulkan1 (apt-get install chromium libvulkan1).',
    );
  process.env['VK_ICD_FILENAMES'] = driver;
  // Imported late: the environment decides which driver it loads.
  const dawn = createRequire(import.meta.url)('webgpu') as { create(options: string[]): GPU };
  const gpu = dawn.create([]);
  const adapter = await gpu.requestAdapter();
  if (adapter === null)
    throw new Error('Dawn offers no adapter: is libvulkan1 installed (apt-get install libvulkan1)?');
  // When `gpu` is collected while the device is used, the process aborts: the caller must hold it.
  return { device: await adapter.requestDevice(), gpu };
}
