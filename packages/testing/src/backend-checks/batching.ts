// Checks that a text's embeddings do not depend on the batch that it is in.
import type { Encoder, ModelFiles } from '@sentvec/core';
import { fail, type BackendCheck, type BackendUnderTest } from './check.ts';
import { expectClose, expectSize, padded, tokensOf } from './token-batches.ts';

type Texts = readonly (readonly number[])[];

/** The architectures that differ in how they treat padding and positions. */
const models = ['tiny-bert', 'tiny-roberta', 'tiny-mpnet'];

/**
 * The architectures whose tokens attend in different ways: by a bias of the distance, to a window of those before, to
 * all or to a window on both sides.
 */
const longModels = ['tiny-t5', 'tiny-mistral', 'tiny-modernbert-mean'];

/** Tokens of a text that is too long to compute the scores of all pairs of tokens at once. */
const longText = 520;

/** The model with positions for a long text: those of these models are computed, not stored. */
function withPositions(files: ModelFiles): ModelFiles {
  return {
    name: `${files.name} with ${longText} positions`,
    list: () => files.list(),
    async read(path) {
      const bytes = await files.read(path);
      if (path !== 'config.json') return bytes;
      const config = JSON.parse(new TextDecoder().decode(bytes)) as object;
      return new TextEncoder().encode(JSON.stringify({ ...config, max_position_embeddings: longText }));
    },
  };
}

/** A text's token embeddings must not depend on the other texts of its batch. */
export function batchingChecks(subject: BackendUnderTest): BackendCheck[] {
  const { goldens, invariance, effort } = subject;

  const known = new Map<string, Promise<readonly Float32Array[]>>();

  /** Runs with the golden texts of each model, and what each text gives alone. */
  const onEach = async (
    check: (encoder: Encoder, texts: Texts, alone: readonly Float32Array[], padding: number) => Promise<void>,
  ): Promise<void> => {
    for (const model of models) {
      const { cases } = await goldens.expectation(model);
      const padding = model === 'tiny-bert' ? 0 : 1;
      const texts = cases.filter((_, index) => index % effort.textStep === 0).map(({ ids }) => ids);
      await subject.withEncoder(goldens.model(model), async (encoder) => {
        known.set(model, known.get(model) ?? encodeAlone(encoder, texts));
        await check(encoder, texts, await known.get(model)!, padding);
      });
    }
  };

  const expectAlike = async (
    encoder: Encoder,
    texts: Texts,
    alone: readonly Float32Array[],
    padding: number,
    cols?: number,
  ): Promise<void> => {
    const batch = padded(texts, cols, padding);
    const tokens = await encoder.encode(batch);
    expectSize('Token embeddings', tokens, batch.rows * batch.cols, encoder.hiddenSize);
    for (const [row, embeddings] of tokensOf(texts, batch, tokens).entries()) {
      expectClose(
        `The token embeddings of text ${row} in a batch of ${batch.rows} × ${batch.cols}`,
        embeddings,
        alone[row]!,
        invariance,
      );
    }
  };

  return [
    {
      name: 'a text gives the same alone, in a batch and in any order',
      run: () =>
        onEach(async (encoder, texts, alone, padding) => {
          await expectAlike(encoder, texts, alone, padding);
          await expectAlike(encoder, texts.toReversed(), alone.toReversed(), padding);
          const longestFirst = texts.map((_, index) => index).sort((a, b) => texts[b]!.length - texts[a]!.length);
          await expectAlike(
            encoder,
            longestFirst.map((index) => texts[index]!),
            longestFirst.map((index) => alone[index]!),
            padding,
          );
        }),
    },
    {
      name: 'padding to odd lengths changes nothing',
      run: () =>
        onEach(async (encoder, texts, alone, padding) => {
          const longest = Math.max(...texts.map((text) => text.length));
          for (const cols of [longest + 1, longest + 2, longest + 7])
            await expectAlike(encoder, texts, alone, padding, cols);
        }),
    },
    {
      name: 'texts of one, two, three … tokens',
      run: () =>
        onEach(async (encoder, texts) => {
          const longest = texts.reduce((best, text) => (text.length > best.length ? text : best));
          const { data: whole } = await encoder.encode(padded([longest]));
          for (let length = 1; length <= Math.min(effort.lengths, longest.length); length += 1) {
            const text = longest.slice(0, length);
            const { data } = await encoder.encode(padded([text]));
            await expectAlike(encoder, [text, longest], [data, whole], 1);
          }
        }),
    },
    {
      name: 'the longest sequence, and none longer',
      run: () =>
        onEach(async (encoder, texts, alone, padding) => {
          if (!Number.isFinite(encoder.maxPositions)) return;
          const long = Array.from({ length: encoder.maxPositions }, (_, index) => 5 + (index % 90));
          const { data } = await encoder.encode(padded([long]));
          if (!data.every((value) => Number.isFinite(value)))
            fail(`A text of ${long.length} tokens gave numbers that are not finite.`);
          await expectAlike(encoder, [texts[0]!, long], [alone[0]!, data], padding);
          const tooLong = await encoder.encode(padded([[...long, 5]])).catch((error: unknown) => error);
          if (!(tooLong instanceof Error))
            fail(`A text of ${long.length + 1} tokens was encoded, but there are only ${long.length} positions.`);
          await expectAlike(encoder, texts, alone, padding);
        }),
    },
    {
      name: 'a text gives the same alone and beside a long one',
      run: async () => {
        for (const model of longModels.slice(0, effort.longTexts)) {
          const { cases } = await goldens.expectation(model);
          const texts = cases.slice(0, 1).map(({ ids }) => ids);
          await subject.withEncoder(withPositions(goldens.model(model)), async (encoder) => {
            const long = Array.from({ length: longText }, (_, index) => 5 + ((index * index) % 83));
            const { data } = await encoder.encode(padded([long]));
            await expectAlike(encoder, [...texts, long], [...(await encodeAlone(encoder, texts)), data], 1);
          });
        }
      },
    },
    {
      name: 'an empty batch gives no rows',
      run: () =>
        onEach(async (encoder, texts) => {
          expectSize('Token embeddings of no texts', await encoder.encode(padded([])), 0, encoder.hiddenSize);
          expectSize(
            'Token embeddings of no texts',
            await encoder.encode({ ...padded([]), cols: texts[0]!.length }),
            0,
            encoder.hiddenSize,
          );
        }),
    },
    {
      name: 'the arrays of a batch stay as they are, and may be parts of larger ones',
      run: () =>
        onEach(async (encoder, texts, alone) => {
          const { ids, mask, rows, cols } = padded([texts[0]!]);
          const within = (part: Int32Array): Int32Array =>
            Int32Array.of(7, 7, 7, ...part, 7, 7).subarray(3, 3 + part.length);
          const batch = { ids: within(ids), mask: within(mask), rows, cols };
          const { data } = await encoder.encode(batch);
          expectClose('Token embeddings of a batch within larger arrays', data, alone[0]!, invariance);
          expectClose('The ids after the call', batch.ids, ids, 0);
          expectClose('The mask after the call', batch.mask, mask, 0);
        }),
    },
  ];
}

async function encodeAlone(encoder: Encoder, texts: Texts): Promise<readonly Float32Array[]> {
  const alone: Float32Array[] = [];
  for (const text of texts) alone.push((await encoder.encode(padded([text]))).data);
  return alone;
}
