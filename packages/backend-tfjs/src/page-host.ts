import { SentvecError } from '@sentvec/core';
import { LocalEncoder } from './local-encoder.ts';
import { isNative, type TfjsDevice } from './options.ts';
import type { OpenHost, Host, HostedEncoder } from './host.ts';
import { openRuntime } from './runtime.ts';

/** Why a device cannot be used here. */
export function reasonUnavailable(device: TfjsDevice): string | undefined {
  return isNative(device) ? `@tensorflow/${device} is for Node` : undefined;
}

/** Opens TensorFlow.js in the page itself. */
export const openHost: OpenHost = async (device, wasmPaths): Promise<Host> => {
  const runtime = await openRuntime(device, wasmPaths).catch((cause: unknown) => {
    throw new SentvecError(
      'backend-unavailable',
      `TensorFlow.js cannot use ${device} here: ${String(cause)}`,
      { device },
      { cause },
    );
  });
  return {
    description: runtime.description,
    gpu: runtime.gpu,
    load: async (files) => inPage(await LocalEncoder.open(runtime, files)),
    close: async () => {},
  };
};

function inPage(encoder: LocalEncoder): HostedEncoder {
  return {
    ...encoder.sizes,
    encode: async (batch) => {
      // Lets the page draw and answer between two batches.
      await new Promise((resolve) => setTimeout(resolve, 0));
      return encoder.encode(batch);
    },
    addHead: async (number, head) => encoder.addHead(number, head),
    encodePooled: async (batch, head, mask) => {
      await new Promise((resolve) => setTimeout(resolve, 0));
      return encoder.encodePooled(batch, head, mask);
    },
    dispose: async () => encoder.dispose(),
  };
}
