// The backend `tfjs`: chooses the device, opens the model.
import { plainReference } from '@sentvec/architectures';
import {
  type Availability,
  type Backend,
  type Encoder,
  type LoadOptions,
  type ModelFiles,
  SentvecError,
  throwIfAborted,
} from '@sentvec/core';
import { reasonUnavailable, openHost } from '#host';
import { warn } from '@sentvec/platform';
import { TfjsEncoder } from './encoder.ts';
import { automaticDevices, checkOptions, isNative, type TfjsDevice, type TfjsOptions } from './options.ts';
import type { Host } from './host.ts';

/**
 * The backend that runs encoders with TensorFlow.js: in Node in a worker thread, in a browser in the page.
 * @throws SentvecError `invalid-argument` when an option cannot be used
 */
export function tfjs(options: TfjsOptions = {}): Backend {
  checkOptions(options);
  return {
    specificationVersion: 1,
    name: 'tfjs',
    isAvailable: () => availability(options),
    load: (model, loadOptions) => load(model, options, loadOptions),
    reference: async (model, batch) => plainReference(model, batch),
  };
}

/** The first device that works, and why the devices before it do not. */
interface Choice {
  readonly device: TfjsDevice;
  readonly host: Host;
  readonly skipped: readonly { readonly reason: string; readonly installed: boolean }[];
}

async function choose({ device = 'auto', wasmPaths }: TfjsOptions): Promise<Choice> {
  const skipped: { reason: string; installed: boolean }[] = [];
  for (const candidate of device === 'auto' ? automaticDevices : [device]) {
    const missing = reasonUnavailable(candidate);
    if (missing !== undefined) {
      skipped.push({ reason: missing, installed: false });
      continue;
    }
    try {
      return { device: candidate, host: await openHost(candidate, wasmPaths), skipped };
    } catch (error) {
      skipped.push({ reason: error instanceof Error ? error.message : String(error), installed: true });
    }
  }
  const reasons = skipped.map(({ reason }) => reason).join('; ');
  throw new SentvecError(
    'backend-unavailable',
    `${reasons}. Install what is missing, or choose another device of tfjs({ device }).`,
    {
      device,
    },
  );
}

async function availability(options: TfjsOptions): Promise<Availability> {
  try {
    const { host, skipped } = await choose(options);
    const { description } = host;
    await host.close();
    return {
      available: true,
      device: [description, ...skipped.map(({ reason }) => firstLine(reason).slice(0, -1))].join('; '),
    };
  } catch (error) {
    return { available: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

async function load(
  files: ModelFiles,
  options: TfjsOptions,
  { signal, onWarning = warn }: LoadOptions = {},
): Promise<Encoder> {
  throwIfAborted(signal);
  const { device, host, skipped } = await choose(options);
  // A package that is not installed needs no warning. One that is installed and does not work does.
  for (const { reason } of skipped.filter(({ installed }) => installed))
    onWarning(`${firstLine(reason)} Going on with ${device}.`);
  try {
    throwIfAborted(signal);
    const hosted = await host.load(files);
    const encoder = new TfjsEncoder(host, hosted, options.batchTokens ?? (isNative(device) ? 8192 : 512));
    if (signal?.aborted) await encoder.dispose();
    throwIfAborted(signal);
    return encoder;
  } catch (error) {
    await host.close();
    throw error;
  }
}

function firstLine(reason: string): string {
  const [line = ''] = reason.trim().split('\n');
  return /[.!?]$/u.test(line.trim()) ? line.trim() : `${line.trim()}.`;
}
