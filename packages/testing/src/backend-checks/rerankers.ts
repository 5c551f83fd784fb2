// Checks of the scores and ranks of golden rerankers.
import { loadReranker, type TextPair } from '@sentvec/core';
import type { GoldenPairs } from '../golden-expectation.ts';
import { fail, type BackendCheck, type BackendUnderTest } from './check.ts';
import { expectClose } from './token-batches.ts';

/**
 * The scores of pairs by one golden model, raw and as the model gives them, together and some alone, and the order of
 * documents. What float32 may differ by is the larger one of what the backend and what the model says.
 */
export function rerankerCheck(subject: BackendUnderTest, model: string): BackendCheck {
  const { goldens, backend, effort } = subject;
  return {
    name: `${model}: golden scores and ranks of pairs`,
    run: async () => {
      const golden = (await goldens.expectation(model)) as unknown as GoldenPairs;
      const { rank, measured } = golden;
      const cases = golden.cases.filter((_, index) => index % effort.textStep === 0);
      const tolerance = Math.max(subject.tolerance, measured.tolerance);
      const pairs = cases.map(({ query, document }): TextPair => [query, document]);
      const reranker = await loadReranker(goldens.model(model), { backend });
      try {
        const raw = await reranker.score(pairs, { activation: 'Identity' });
        const logits = cases.flatMap((each) => each.logits);
        expectClose('The raw scores of pairs', raw.scores.data, logits, tolerance);
        const { scores } = await reranker.score(pairs);
        const expected = cases.flatMap((each) => each.scores);
        expectClose('The scores of pairs', scores.data, expected, tolerance);
        for (const [index, pair] of pairs.entries()) {
          if (index % 4 !== 1) continue;
          const alone = await reranker.score([pair], { activation: 'Identity' });
          expectClose(`The raw score of pair ${index} alone`, alone.scores.data, cases[index]!.logits, tolerance);
        }
        if (rank === undefined) return;
        const hits = await reranker.rank(rank.query, rank.documents);
        const order = rank.results.map((each) => each.corpus_id);
        if (hits.map(({ row }) => row).join() !== order.join())
          fail(`Documents are ranked ${hits.map(({ row }) => row).join()} instead of ${order.join()}.`);
        const ranked = rank.results.map((each) => each.score);
        expectClose(
          'The scores of ranked documents',
          hits.map(({ score }) => score),
          ranked,
          tolerance,
        );
      } finally {
        await reranker.dispose();
      }
    },
  };
}
