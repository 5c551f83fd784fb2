// Checks of token, pooled and final vectors against the golden models.
import {
  loadEmbedder,
  rowOf,
  type EmbedOptions,
  type Encoder,
  type Head,
  type Matrix,
  type TokenBatch,
} from '@sentvec/core';
import type { BackendCheck, BackendUnderTest } from './check.ts';
import type { GoldenCase, GoldenExpectation } from '../golden-expectation.ts';
import { expectClose, expectSize, padded } from './token-batches.ts';

/** Token, pooled and final vectors of one golden model, as PyTorch computes them. */
export function goldenChecks(subject: BackendUnderTest, model: string): BackendCheck[] {
  const { goldens, tolerance, backend } = subject;
  const expectation = async (): Promise<GoldenExpectation> => goldens.expectation(model);
  return [
    {
      name: `${model}: golden token embeddings`,
      run: async () => {
        const { cases } = await expectation();
        await subject.withEncoder(goldens.model(model), async (encoder) => {
          for (const { text, ids, token_embeddings: expected } of cases) {
            if (expected === undefined) continue;
            const tokens = await encoder.encode(padded([ids]));
            expectSize('Token embeddings', tokens, ids.length, encoder.hiddenSize);
            expectClose(`The token embeddings of ${JSON.stringify(text)}`, tokens.data, expected.flat(), tolerance);
          }
        });
      },
    },
    {
      name: `${model}: golden pooled vectors`,
      run: async () => {
        const { cases, prompted } = await expectation();
        await subject.withEncoder(goldens.model(model), async (encoder, head) => {
          const texts = [...cases, ...prompted];
          const batch = padded(texts.map(({ ids }) => ids));
          const mask = poolingMask(
            batch,
            head,
            texts.map((each) => ('prompt_length' in each ? (each.prompt_length ?? 0) : 0)),
          );
          const pooled = head.pooling.pool(await encoder.encode(batch), { ...batch, mask });
          for (const [row, { text, pooled: expected }] of texts.entries()) {
            expectClose(`The pooled vector of ${JSON.stringify(text)}`, rowOf(pooled, row), expected, tolerance);
          }
        });
      },
    },
    {
      name: `${model}: golden final vectors`,
      run: async () => {
        const { cases, prompted } = await expectation();
        const embedder = await loadEmbedder(goldens.model(model), { backend });
        try {
          const { vectors } = await embedder.embed(
            cases.map(({ text }) => text),
            { prompt: null },
          );
          for (const [row, { text, embedding }] of cases.entries()) {
            expectClose(`The vector of ${JSON.stringify(text)}`, rowOf(vectors, row), embedding, tolerance);
          }
          for (const { text, prompt_name: prompt, embedding } of prompted) {
            const { vectors: one } = await embedder.embed([text], { prompt });
            expectClose(
              `The vector of ${JSON.stringify(text)} with the prompt "${prompt}"`,
              one.data,
              embedding,
              tolerance,
            );
          }
        } finally {
          await embedder.dispose();
        }
      },
    },
    {
      name: `${model}: pooling on the device, where offered, gives the golden vectors`,
      run: async () => {
        const { cases } = await expectation();
        await subject.withEncoder(goldens.model(model), async (encoder, head) => {
          const vectors = await pooledOnDevice(encoder, padded(cases.map(({ ids }) => ids)), head);
          if (vectors === undefined) return;
          for (const [row, { text, embedding }] of cases.entries()) {
            expectClose(`The vector of ${JSON.stringify(text)}`, rowOf(vectors, row), embedding, tolerance);
          }
        });
      },
    },
  ];
}

/**
 * The vectors of a golden model of one more architecture, token by token and whole: alone, together, and with prompts.
 * What float32 may differ by is the larger one of what the backend and what the model says.
 */
export function architectureCheck(subject: BackendUnderTest, model: string): BackendCheck {
  const { goldens, tolerance, backend, effort } = subject;
  return {
    name: `${model}: golden vectors, alone and together`,
    run: async () => {
      const { cases, prompted, measured } = await goldens.expectation(model);
      const some = cases.filter((each, index) => index % effort.textStep === 0 || each.token_embeddings !== undefined);
      const allowed = Math.max(tolerance, measured.tolerance ?? 0);
      const embedder = await loadEmbedder(goldens.model(model), { backend });
      try {
        const embed = async (texts: readonly GoldenVector[], options: EmbedOptions): Promise<void> => {
          const { vectors } = await embedder.embed(
            texts.map(({ text }) => text),
            options,
          );
          for (const [row, { text, embedding }] of texts.entries())
            expectClose(`The vector of ${JSON.stringify(text)}`, rowOf(vectors, row), embedding, allowed);
        };
        await embed(some, { prompt: null });
        for (const [index, each] of some.entries())
          if (index % effort.textStep === 0) await embed([each], { prompt: null });
        for (const each of effort.textStep === 1 ? prompted : prompted.slice(0, 1))
          await embed([each], { prompt: each.prompt_name });
        for (const { text, ids, token_embeddings: expected } of some) {
          if (expected === undefined) continue;
          const { data } = await embedder.encoder.encode(padded([ids]));
          const tokenTolerance = Math.max(tolerance, measured.token_tolerance ?? 0);
          expectClose(`The token embeddings of ${JSON.stringify(text)}`, data, expected.flat(), tokenTolerance);
        }
      } finally {
        await embedder.dispose();
      }
    },
  };
}

type GoldenVector = Pick<GoldenCase, 'text' | 'embedding'>;

async function pooledOnDevice(encoder: Encoder, batch: TokenBatch, head: Head): Promise<Matrix | undefined> {
  return encoder.encodePooled?.(batch, head);
}

/** The mask without the tokens of prompts, where the pooling leaves them out. */
function poolingMask(batch: TokenBatch, head: Head, promptLengths: readonly number[]): Int32Array {
  const mask = batch.mask.slice();
  if (head.pooling.includePrompt ?? true) return mask;
  for (const [row, length] of promptLengths.entries()) mask.fill(0, row * batch.cols, row * batch.cols + length);
  return mask;
}
