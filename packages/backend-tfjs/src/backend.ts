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
import { absence, openPlace } from '#placement';
import { warn } from '@sentvec/platform';
import { TfjsEncoder } from './encoder.ts';
import { automaticDevices, checkOptions, isNative, type TfjsDevice, type TfjsOptions } from './options.ts';
import type { Place } from './placement.ts';

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

/** A place on the first device that works, with the reasons why not on those before it. */
interface Choice {
  readonly device: TfjsDevice;
  readonly place: Place;
  readonly passedOver: readonly { readonly reason: string; readonly installed: boolean }[];
}

async function choose({ device = 'auto', wasmPaths }: TfjsOptions): Promise<Choice> {
  const passedOver: { reason: string; installed: boolean }[] = [];
  for (const candidate of device === 'auto' ? automaticDevices : [device]) {
    const missing = absence(candidate);
    if (missing !== undefined) {
      passedOver.push({ reason: missing, installed: false });
      continue;
    }
    try {
      return { device: candidate, place: await openPlace(candidate, wasmPaths), passedOver };
    } catch (error) {
      passedOver.push({ reason: error instanceof Error ? error.message : String(error), installed: true });
    }
  }
  const reasons = passedOver.map(({ reason }) => reason).join('; ');
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
    const { place, passedOver } = await choose(options);
    const { description } = place;
    await place.close();
    return {
      available: true,
      device: [description, ...passedOver.map(({ reason }) => firstLine(reason).slice(0, -1))].join('; '),
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
  const { device, place, passedOver } = await choose(options);
  // That a package is not installed is nobody's mistake; that one is installed and does not work should be known.
  for (const { reason } of passedOver.filter(({ installed }) => installed))
    onWarning(`${firstLine(reason)} Going on with ${device}.`);
  try {
    throwIfAborted(signal);
    const placed = await place.load(files, { signal });
    const encoder = new TfjsEncoder(place, placed, options.batchTokens ?? (isNative(device) ? 8192 : 512));
    if (signal?.aborted) await encoder.dispose();
    throwIfAborted(signal);
    return encoder;
  } catch (error) {
    await place.close();
    throw error;
  }
}

function firstLine(reason: string): string {
  const [line = ''] = reason.trim().split('\n');
  return /[.!?]$/u.test(line.trim()) ? line.trim() : `${line.trim()}.`;
}
