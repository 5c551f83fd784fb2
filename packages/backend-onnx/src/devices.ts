// Which devices onnxruntime-node has on this machine.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Availability } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import { resolveInstalled } from '@sentvec/platform/node';
import { loadOnnxRuntime } from './onnx-runtime.ts';
import type { OnnxDevice, OnnxOptions } from './options.ts';

/** The devices to try, in order. When there is only one, there is no way around it. */
export function devicesToTry(device: OnnxOptions['device'] = 'auto'): readonly OnnxDevice[] {
  if (device === 'auto') return cudaIsInstalled() ? ['cuda', 'cpu'] : ['cpu'];
  return typeof device === 'string' ? [device] : device;
}

/**
 * Whether onnxruntime has one of the devices here, and which comes first. A driver may still refuse when a session
 * opens.
 */
export async function availability(devices: readonly OnnxDevice[]): Promise<Availability> {
  const here = await findDevices();
  if ('reason' in here) return { available: false, reason: here.reason };
  const device = devices.find((name) => here.devices.includes(name));
  return device === undefined
    ? { available: false, reason: missing(devices, here.devices) }
    : { available: true, device: `${device}, onnxruntime ${here.version}` };
}

/**
 * Those of the devices that onnxruntime has here; warns of the others.
 * @throws SentvecError `backend-unavailable` when there is none
 */
export async function presentDevices(
  devices: readonly OnnxDevice[],
  onWarning: (message: string) => void,
): Promise<readonly OnnxDevice[]> {
  if (devices.length === 1 && devices[0] === 'cpu') return devices; // In every build; loading one here takes a while.
  const here = await findDevices();
  if ('reason' in here) throw new SentvecError('backend-unavailable', here.reason);
  const present = devices.filter((name) => here.devices.includes(name));
  if (present.length === 0)
    throw new SentvecError('backend-unavailable', missing(devices, here.devices), { device: devices[0] });
  const absent = devices.filter((name) => !here.devices.includes(name));
  if (absent.length > 0) onWarning(`${missing(absent, here.devices)} Going on with ${present[0]}.`);
  return present;
}

/** Why onnxruntime-node cannot be loaded here; `undefined` when it can. */
export async function loadingError(): Promise<SentvecError | undefined> {
  const here = await findDevices();
  return 'reason' in here ? new SentvecError('backend-unavailable', here.reason) : undefined;
}

async function findDevices(): Promise<
  { readonly devices: readonly string[]; readonly version: string } | { readonly reason: string }
> {
  try {
    const { env, listSupportedBackends } = await loadOnnxRuntime();
    const built = listSupportedBackends().map((backend) => backend.name);
    return {
      devices: built.filter((name) => name !== 'cuda' || cudaIsInstalled()),
      version: env.versions.node ?? 'of unknown version',
    };
  } catch (error) {
    const [message] = (error instanceof Error ? error.message : String(error)).split('\n');
    const remedy =
      'Install it again: npm install onnxruntime-node, ' +
      'with ONNXRUNTIME_NODE_INSTALL=skip where only the npm registry can be reached.';
    return { reason: `onnxruntime-node cannot be loaded on ${process.platform}-${process.arch}: ${message} ${remedy}` };
  }
}

function missing(wanted: readonly string[], present: readonly string[]): string {
  const remedy =
    wanted.includes('cuda') && process.platform === 'linux'
      ? ' For CUDA, let the install script of onnxruntime-node run: it fetches the libraries.'
      : '';
  return `onnxruntime-node has no ${wanted.join(', ')} on ${process.platform}-${process.arch}; it has ${present.join(', ')}.${remedy}`;
}

/** onnxruntime-node's install script puts CUDA's provider beside its library. */
function cudaIsInstalled(): boolean {
  const entry = resolveInstalled('onnxruntime-node', import.meta.url);
  if (entry === undefined) return false;
  const libraries = join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch);
  return ['libonnxruntime_providers_cuda.so', 'onnxruntime_providers_cuda.dll'].some((name) =>
    existsSync(join(libraries, name)),
  );
}
