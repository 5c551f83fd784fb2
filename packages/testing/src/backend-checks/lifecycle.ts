// Checks of availability, concurrent calls, aborts and disposal.
import { SentvecError, type Encoder } from '@sentvec/core';
import { expectError, fail, type BackendCheck, type BackendUnderTest } from './check.ts';
import { expectClose, padded } from './token-batches.ts';

const model = 'tiny-bert';

/** Availability, calls at once, abort, disposal. */
export function lifecycleChecks(subject: BackendUnderTest): BackendCheck[] {
  const { backend, goldens, invariance, effort } = subject;

  const texts = async (): Promise<readonly (readonly number[])[]> => {
    const { cases } = await goldens.expectation(model);
    return cases.filter((_, index) => index % effort.textStep === 0).map(({ ids }) => ids);
  };

  /** Many calls at once, each with one text. */
  const callsAtOnce = (
    encoder: Encoder,
    ids: readonly (readonly number[])[],
    signal?: AbortSignal,
  ): Promise<Float32Array>[] =>
    Array.from(
      { length: effort.callsAtOnce },
      async (_, call) => (await encoder.encode(padded([ids[call % ids.length]!]), { signal })).data,
    );

  return [
    {
      name: 'is available and says what it offers',
      run: async () => {
        const availability = await backend.isAvailable();
        if (!availability.available) fail(`The backend is not available here: ${availability.reason}`);
        if (availability.device === '') fail('The backend does not name its device.');
        await subject.withEncoder(
          goldens.model(model),
          async ({ hiddenSize, maxPositions, concurrency, batchTokens }) => {
            for (const [name, value] of Object.entries({ hiddenSize, maxPositions, concurrency, batchTokens })) {
              if (!(value >= 1)) fail(`The encoder's ${name} is ${value}; it must be at least 1.`);
            }
          },
        );
      },
    },
    {
      name: 'calls at once give what calls one by one give',
      run: async () => {
        const ids = await texts();
        await subject.withEncoder(goldens.model(model), async (encoder) => {
          const oneByOne: Float32Array[] = [];
          for (const text of ids) oneByOne.push((await encoder.encode(padded([text]))).data);
          const atOnce = await Promise.all(callsAtOnce(encoder, ids));
          for (const [call, data] of atOnce.entries())
            expectClose(`The result of call ${call}`, data, oneByOne[call % ids.length]!, invariance);
        });
      },
    },
    {
      name: 'a load that was aborted before it began is refused',
      run: async () => {
        const load = backend.load(goldens.model(model), { signal: AbortSignal.abort() });
        await expectError('Loading with an aborted signal', load, 'aborted');
      },
    },
    {
      name: 'an abort in the middle ends what waits and leaves the encoder usable',
      run: async () => {
        const ids = await texts();
        await subject.withEncoder(goldens.model(model), async (encoder) => {
          const expected = (await encoder.encode(padded([ids[0]!]))).data;
          const controller = new AbortController();
          const calls = callsAtOnce(encoder, ids, controller.signal);
          await calls[0];
          controller.abort();
          for (const call of await Promise.allSettled(calls)) {
            if (call.status === 'rejected' && !SentvecError.is(call.reason, 'aborted'))
              fail(`A call failed with ${String(call.reason)} instead of "aborted".`);
          }
          await expectError(
            'A call with an aborted signal',
            encoder.encode(padded([ids[0]!]), { signal: controller.signal }),
            'aborted',
          );
          expectClose(
            'The embeddings after an abort',
            (await encoder.encode(padded([ids[0]!]))).data,
            expected,
            invariance,
          );
        });
      },
    },
    {
      name: 'dispose may be called twice, and use after it is refused',
      run: async () => {
        const ids = await texts();
        const encoder = await backend.load(goldens.model(model));
        await encoder.encode(padded([ids[0]!]));
        await Promise.all([encoder.dispose(), encoder.dispose()]);
        await encoder.dispose();
        await expectError('encode after dispose', encoder.encode(padded([ids[0]!])), 'disposed');
      },
    },
    {
      name: 'dispose in the middle ends every call',
      run: async () => {
        const ids = await texts();
        const encoder = await backend.load(goldens.model(model));
        const calls = callsAtOnce(encoder, ids);
        const settled = Promise.allSettled(calls);
        await calls[0];
        await encoder.dispose();
        for (const call of await settled) {
          if (call.status === 'rejected' && !SentvecError.is(call.reason, 'disposed'))
            fail(`A call failed with ${String(call.reason)} instead of "disposed".`);
        }
      },
    },
  ];
}
