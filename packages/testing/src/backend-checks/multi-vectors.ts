// Checks of the token vectors and scores of golden models of late interaction.
import { loadMultiVectorEmbedder, matrixOfText, maxSimilarityScores, type EmbeddedTokens } from '@sentvec/core';
import type { GoldenMultiVectors } from '../golden-expectation.ts';
import type { BackendCheck, BackendUnderTest } from './check.ts';
import { fail } from './check.ts';
import { expectClose } from './token-batches.ts';

/**
 * The token vectors of queries and documents of one golden model, together and one alone, and their scores. What float32
 * may differ by is the larger one of what the backend and what the model says.
 */
export function multiVectorCheck(subject: BackendUnderTest, model: string): BackendCheck {
  const { goldens, backend, effort } = subject;
  return {
    name: `${model}: golden token vectors and MaxSim`,
    run: async () => {
      const golden = (await goldens.expectation(model)) as unknown as GoldenMultiVectors;
      const tolerance = Math.max(subject.tolerance, golden.measured.tolerance);
      const ofKind = (kind: string) => golden.cases.filter((each) => each.kind === kind);
      const [queries, documents] = [ofKind('query'), ofKind('document')];
      const embedder = await loadMultiVectorEmbedder(goldens.model(model), { backend });
      try {
        const asked = await embedder.embedQuery(queries.map(({ text }) => text));
        const found = await embedder.embedDocuments(documents.map(({ text }) => text));
        compare(asked, queries, tolerance);
        compare(found, documents, tolerance);
        for (const each of documents.filter((_, index) => index % (4 * effort.textStep) === 1))
          compare(await embedder.embedDocuments([each.text]), [each], tolerance);
        for (const [index, expected] of golden.maxsim.entries()) {
          const query = matrixOfText(asked.vectors, index);
          const scores = await maxSimilarityScores(query, found.vectors, { similarity: embedder.similarity });
          // A score is a sum over the tokens of the query, each with its error.
          expectClose(`The scores of query ${index}`, scores, expected, query.rows * tolerance);
        }
      } finally {
        await embedder.dispose();
      }
    },
  };
}

function compare({ vectors }: EmbeddedTokens, cases: GoldenMultiVectors['cases'], tolerance: number): void {
  for (const [index, { kind, text, rows, embeddings }] of cases.entries()) {
    const matrix = matrixOfText(vectors, index);
    if (matrix.rows !== rows)
      fail(`The ${kind} ${JSON.stringify(text)} has ${matrix.rows} vectors instead of ${rows}.`);
    const first = matrix.data.subarray(0, embeddings.length * matrix.cols);
    expectClose(`The token vectors of the ${kind} ${JSON.stringify(text)}`, first, embeddings.flat(), tolerance);
  }
}
