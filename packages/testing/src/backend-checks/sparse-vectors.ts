// Checks of the sparse vectors of golden models.
import {
  loadSparseEmbedder,
  sparseDot,
  type EmbedSparseOptions,
  type SparseEmbedder,
  type SparseVector,
} from '@sentvec/core';
import type { GoldenSparse, GoldenSparseCase } from '../golden-expectation.ts';
import { fail, type BackendCheck, type BackendUnderTest } from './check.ts';

/**
 * The vectors of queries and documents of one golden sparse model, together and alone, whole and cut to their largest
 * entries; their terms and their dot products. What float32 may differ by is the larger one of what the backend and what
 * the model says; an entry below that may be zero.
 */
export function sparseCheck(subject: BackendUnderTest, model: string): BackendCheck {
  const { goldens, backend, effort } = subject;
  return {
    name: `${model}: golden weights of terms`,
    run: async () => {
      const golden = (await goldens.expectation(model)) as unknown as GoldenSparse;
      const tolerance = Math.max(subject.tolerance, golden.measured.tolerance);
      const embedder = await loadSparseEmbedder(goldens.model(model), { backend });
      try {
        for (const role of ['query', 'document'] as const) {
          const cases = golden.cases
            .filter(({ route = role }) => route === role)
            .filter((each, index) => index % effort.textStep === 0 || each.decode_top_5 !== undefined);
          const embed = embedOf(embedder, role);
          const together = await embed(cases.map(({ text }) => text));
          const alone = cases.filter((_, index) => index % (3 * effort.textStep) === 0);
          for (const [index, each] of cases.entries()) compare(each, together[index]!, tolerance);
          for (const each of alone) compare(each, (await embed([each.text]))[0]!, tolerance);
          await compareTerms(embedder, cases, together, tolerance);
          for (const each of golden.max_active_dims_16.filter(({ route = 'document' }) => route === role))
            compare(each, (await embed([each.text], { maxActiveDims: 16 }))[0]!, tolerance);
        }
        await compareScores(embedder, golden, tolerance);
      } finally {
        await embedder.dispose();
      }
    },
  };
}

type Embed = (texts: readonly string[], options?: EmbedSparseOptions) => Promise<readonly SparseVector[]>;

function embedOf(embedder: SparseEmbedder, role: 'query' | 'document'): Embed {
  return async (texts, options) =>
    (await (role === 'query' ? embedder.embedQuery(texts, options) : embedder.embedDocuments(texts, options))).vectors;
}

/** Compares the entries of both, with 0 where one has none. */
function compare({ text, indices, values }: GoldenSparseCase, found: SparseVector, tolerance: number): void {
  const expected = new Map(indices.map((index, at) => [index, values[at]!]));
  const weights = new Map([...found.indices].map((index, at) => [index, found.values[at]!]));
  if (found.indices.some((index, at) => at > 0 && index <= found.indices[at - 1]!))
    fail(`The indices of ${JSON.stringify(text)} do not ascend.`);
  for (const index of new Set([...expected.keys(), ...weights.keys()])) {
    const [wanted, got] = [expected.get(index) ?? 0, weights.get(index) ?? 0];
    if (!(Math.abs(wanted - got) <= tolerance))
      fail(`The weight of term ${index} for ${JSON.stringify(text)} is ${got} instead of ${wanted}.`);
  }
}

async function compareTerms(
  embedder: SparseEmbedder,
  cases: readonly GoldenSparseCase[],
  vectors: readonly SparseVector[],
  tolerance: number,
): Promise<void> {
  for (const [index, { text, decode_top_5: expected }] of cases.entries()) {
    if (expected === undefined) continue;
    const found = await embedder.decode(vectors[index]!, 5);
    for (const [place, [term, weight]] of expected.entries()) {
      const got = found[place]!;
      if (got.term !== term || !(Math.abs(got.weight - weight) <= tolerance))
        fail(`Term ${place} of ${JSON.stringify(text)} is ${got.term} (${got.weight}) instead of ${term} (${weight}).`);
    }
  }
}

/** A dot product has the error of each entry, times that of the other vector. */
async function compareScores(embedder: SparseEmbedder, { similarity }: GoldenSparse, tolerance: number): Promise<void> {
  const queries = (await embedder.embedQuery(similarity.queries)).vectors;
  const documents = (await embedder.embedDocuments(similarity.documents)).vectors;
  for (const [row, query] of queries.entries()) {
    const sum = query.values.reduce((total, value) => total + value, 0);
    for (const [column, document] of documents.entries()) {
      const allowed = tolerance * (sum + document.values.reduce((total, value) => total + value, 0));
      const [wanted, got] = [similarity.scores[row]![column]!, sparseDot(query, document)];
      if (!(Math.abs(wanted - got) <= allowed))
        fail(`The score of query ${row} and document ${column} is ${got} instead of ${wanted}.`);
    }
  }
}
