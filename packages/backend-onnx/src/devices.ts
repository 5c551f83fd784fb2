// Finds the devices that onnxruntime-node supports on this machine.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Availability } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import { resolveInstalled } from '@sentvec/platform/node';
import { loadOnnxRuntime } from './onnx-runtime.ts';
import type { OnnxDevice, OnnxOptions } from './options.ts';

/** The devices to try, in order. With a single device there is no fallback. */
export function devicesToTry(device: OnnxOptions['device'] = 'auto'): readonly OnnxDevice[] {
  if (device === 'auto') return isCudaInstalled() ? ['cuda', 'cpu'] : ['cpu'];
  return typeof device === 'string' ? [device] : device;
}

/**
 * Whether onnxruntime supports one of the devices on this machine, and the first of them. A session on it may still
 * fail to open because of its driver.
 */
export async function availability(devices: readonly OnnxDevice[]): Promise<Availability> {
  const installed = await findDevices();
  if ('reason' in installed) return { available: false, reason: installed.reason };
  const device = devices.find((name) => installed.devices.includes(name));
  return device === undefined
    ? { available: false, reason: unsupportedMessage(devices, installed.devices) }
    : { available: true, device: `${device}, onnxruntime ${installed.version}` };
}

/**
 * The devices that onnxruntime supports on this machine. Calls `onWarning` for the others.
 * @throws SentvecError `backend-unavailable` if there is none
 */
export async function presentDevices(
  devices: readonly OnnxDevice[],
  onWarning: (message: string) => void,
): Promise<readonly OnnxDevice[]> {
  if (devices.length === 1 && devices[0] === 'cpu') return devices; // Every build has the CPU. Checking it would load onnxruntime into this thread, which takes a while.
  const installed = await findDevices();
  if ('reason' in installed) throw new SentvecError('backend-unavailable', installed.reason);
  const present = devices.filter((name) => installed.devices.includes(name));
  if (present.length === 0)
    throw new SentvecError('backend-unavailable', unsupportedMessage(devices, installed.devices), {
      device: devices[0],
    });
  const absent = devices.filter((name) => !installed.devices.includes(name));
  if (absent.length > 0) onWarning(`${unsupportedMessage(absent, installed.devices)} Falling back to ${present[0]}.`);
  return present;
}

/** The error why onnxruntime-node cannot be loaded; `undefined` if it can be loaded. */
export async function loadingError(): Promise<SentvecError | undefined> {
  const installed = await findDevices();
  return 'reason' in installed ? new SentvecError('backend-unavailable', installed.reason) : undefined;
}

async function findDevices(): Promise<
  { readonly devices: readonly string[]; readonly version: string } | { readonly reason: string }
> {
  try {
    const { env, listSupportedBackends } = await loadOnnxRuntime();
    const built = listSupportedBackends().map((backend) => backend.name);
    return {
      devices: built.filter((name) => name !== 'cuda' || isCudaInstalled()),
      version: env.versions.node ?? 'of unknown version',
    };
  } catch (error) {
    const [message] = (error instanceof Error ? error.message : String(error)).split('\n');
    const remedy =
      'Reinstall it with "npm install onnxruntime-node", ' +
      'with ONNXRUNTIME_NODE_INSTALL=skip if only the npm registry can be reached.';
    return { reason: `onnxruntime-node cannot be loaded on ${process.platform}-${process.arch}: ${message} ${remedy}` };
  }
}

function unsupportedMessage(wanted: readonly string[], present: readonly string[]): string {
  const remedy =
    wanted.includes('cuda') && process.platform === 'linux'
      ? ' For CUDA, reinstall onnxruntime-node with its install script, which downloads the libraries.'
      : '';
  return `onnxruntime-node does not support ${wanted.join(', ')} on ${process.platform}-${process.arch}; it supports ${present.join(', ')}.${remedy}`;
}

/**
 * Whether the install script of onnxruntime-node has downloaded the CUDA provider, which is in the folder of its
 * library.
 */
function isCudaInstalled(): boolean {
  const entry = resolveInstalled('onnxruntime-node', import.meta.url);
  if (entry === undefined) return false;
  const libraries = join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch);
  return ['libonnxruntime_providers_cuda.so', 'onnxruntime_providers_cuda.dll'].some((name) =>
    existsSync(join(libraries, name)),
  );
}
