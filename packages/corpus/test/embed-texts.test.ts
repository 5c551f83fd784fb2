import { SentvecError, type Embedded, type ErrorDetails } from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { embedTexts } from '../src/steps/embed-texts.ts';

const texts = Array.from({ length: 1000 }, (_, index) => `text ${index}`);

/** A fake embedder whose vector is the length of the text. It calls a check that may throw, and counts the texts. */
function embedder(check: (some: readonly string[]) => void): {
  embed: (some: readonly string[]) => Promise<Embedded>;
  received: () => number;
} {
  let received = 0;
  return {
    received: () => received,
    embed: async (some) => {
      received += some.length;
      check(some);
      const vectors = { data: Float32Array.from(some, (text) => text.length), rows: some.length, cols: 1 };
      const receipt = {
        rows: some.length,
        tokens: 0,
        truncated: [],
        paddingWaste: 0,
        milliseconds: 0,
        fingerprint: '',
        notes: [],
      };
      return { vectors, receipt };
    },
  };
}

function failOn(bad: readonly number[], error: (rows: number[]) => Error): (some: readonly string[]) => void {
  const set = new Set(bad.map((index) => texts[index]));
  return (some) => {
    const rows = some.flatMap((text, row) => (set.has(text) ? [row] : []));
    if (rows.length > 0) throw error(rows);
  };
}

describe('embedding texts, some of which fail', () => {
  it.each([[[]], [[0]], [[999]], [[0, 1, 2]], [[3, 500, 998]], [texts.map((_, index) => index)]])(
    'skips only the failing texts: %j',
    async (bad) => {
      const { embed } = embedder(failOn(bad, () => new Error('poison')));
      const { embedded, indices, failures } = await embedTexts(texts, embed);
      expect(failures.map(({ index }) => index)).toEqual(bad);
      const good = texts.map((_, index) => index).filter((index) => !bad.includes(index));
      expect(indices).toEqual(good);
      expect([...embedded.vectors.data]).toEqual(good.map((index) => texts[index]!.length));
    },
  );

  it('takes a small multiple of the work of one pass, for any number of texts', async () => {
    const one = embedder(failOn([321], () => new SentvecError('backend-failed', 'poison')));
    await embedTexts(texts, one.embed);
    expect(one.received()).toBeLessThan(6 * texts.length);
    // If the error names the rows, no search is needed.
    const named = embedder(
      failOn([5, 6, 700], (rows) => new SentvecError('invalid-text', 'empty', { row: rows[0], rows })),
    );
    expect((await embedTexts(texts, named.embed)).failures.map(({ index }) => index)).toEqual([5, 6, 700]);
    expect(named.received()).toBeLessThan(2 * texts.length);
    const first = embedder(failOn([5, 6, 700], (rows) => new SentvecError('invalid-text', 'empty', { row: rows[0] })));
    expect((await embedTexts(texts, first.embed)).failures.map(({ index }) => index)).toEqual([5, 6, 700]);
  });

  it('retries if no text fails on its own, and gives up if that does not help', async () => {
    let calls = 0;
    const once = embedder(() => {
      calls += 1;
      if (calls === 1) throw new SentvecError('backend-failed', 'out of memory for a moment');
    });
    expect((await embedTexts(texts, once.embed)).indices.length).toBe(1000);
    let whole = 0;
    const large = embedder((some) => {
      if (some.length < 1000) return;
      whole += 1;
      throw new SentvecError('backend-failed', 'too many');
    });
    await expect(embedTexts(texts, large.embed)).rejects.toMatchObject({ code: 'backend-failed', message: 'too many' });
    expect(whole).toBe(2);
  });

  it('searches for the failing text if the error does not name valid rows', async () => {
    for (const details of [{}, { row: 2000 }, { rows: 'all' }, { rows: [null] }] as ErrorDetails[]) {
      const unclear = embedder(failOn([7], () => new SentvecError('invalid-text', 'empty', details)));
      expect((await embedTexts(texts, unclear.embed)).failures.map(({ index }) => index)).toEqual([7]);
    }
  });

  it('rejects no text if the model fails on all texts or for other reasons', async () => {
    const dead = embedder(() => {
      throw new SentvecError('backend-failed', 'the device is gone');
    });
    await expect(embedTexts(texts, dead.embed)).rejects.toMatchObject({ code: 'backend-failed' });
    for (const code of ['aborted', 'disposed', 'invalid-argument'] as const) {
      const stopped = embedder(() => {
        throw new SentvecError(code, 'stop');
      });
      await expect(embedTexts(texts, stopped.embed)).rejects.toMatchObject({ code });
      expect(stopped.received()).toBe(1000);
    }
  });
});
