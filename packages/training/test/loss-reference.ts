// Reference implementations of the losses in double precision, written from their formulas: slow but readable. They
// share no code with `src`.

type Vector = readonly number[];
type Matrix = readonly Vector[];
type Parameters = Readonly<Record<string, unknown>>;
/** A function from columns of vectors and labels to the loss. */
type Reference = (columns: readonly Matrix[], labels: readonly (number | Vector)[], parameters: Parameters) => number;

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]) => sum(values) / values.length;
const dot = (a: Vector, b: Vector) => sum(a.map((value, i) => value * b[i]!));
const norm = (a: Vector) => Math.sqrt(dot(a, a));
const cosine = (a: Vector, b: Vector) => dot(a, b) / (norm(a) * norm(b));
const relu = (value: number) => Math.max(0, value);
const logSumExp = (values: readonly number[]) => {
  const largest = Math.max(...values);
  return largest + Math.log(sum(values.map((value) => Math.exp(value - largest))));
};
/** torch adds 1e-6 to differences. */
const apart = (kind: unknown, a: Vector, b: Vector, shift = 1e-6): number => {
  if (kind === 'cosine') return 1 - cosine(a, b);
  const differences = a.map((value, i) => value - b[i]! + shift);
  return kind === 'manhattan' ? sum(differences.map(Math.abs)) : norm(differences);
};
const alike = (kind: unknown, a: Vector, b: Vector): number => {
  if (kind === 'cosine') return cosine(a, b);
  return kind === 'dot' ? dot(a, b) : -apart(kind, a, b);
};
const numbers = (labels: readonly (number | Vector)[]) => labels.map(Number);

/** log(1 + Σ exp(scale · (sᵢ - sⱼ))) over labelᵢ < labelⱼ. */
function ordering(similarities: readonly number[], labels: readonly number[], scale: number): number {
  const excess = similarities.flatMap((si, i) =>
    similarities.flatMap((sj, j) => (labels[i]! < labels[j]! ? [scale * (si - sj)] : [])),
  );
  return logSumExp([0, ...excess]);
}

function angle(x: Vector, y: Vector): number {
  const half = x.length / 2;
  const [a, b, c, d] = [x.slice(0, half), x.slice(half), y.slice(0, half), y.slice(half)];
  return Math.abs(dot(a, c) + dot(b, d) + dot(b, c) - dot(a, d)) / (norm(x) * norm(y));
}

function ranking(columns: readonly Matrix[], { scale, similarity }: Parameters): { forward: number; backward: number } {
  const [anchors, positives] = columns as [Matrix, Matrix];
  const candidates = columns.slice(1).flat();
  const score = (a: Vector, b: Vector) => Number(scale) * alike(similarity, a, b);
  const forward = anchors.map(
    (anchor, i) => logSumExp(candidates.map((each) => score(anchor, each))) - score(anchor, positives[i]!),
  );
  const backward = positives.map(
    (positive, i) => logSumExp(anchors.map((each) => score(each, positive))) - score(anchors[i]!, positive),
  );
  return { forward: mean(forward), backward: mean(backward) };
}

function onlineContrastive(
  [first, second]: readonly Matrix[],
  labels: readonly number[],
  { distance, margin }: Parameters,
): number {
  const pairs = first!.map((a, i) => ({ distance: apart(distance, a, second![i]!), similar: labels[i] === 1 }));
  const positives = pairs.filter(({ similar }) => similar).map((pair) => pair.distance);
  const negatives = pairs.filter(({ similar }) => !similar).map((pair) => pair.distance);
  const farthest = positives.length > 1 ? Math.max(...positives) : mean(negatives);
  const nearest = negatives.length > 1 ? Math.min(...negatives) : mean(positives);
  const hardPositives = positives.filter((value) => value > nearest).map((value) => value ** 2);
  const hardNegatives = negatives.filter((value) => value < farthest).map((value) => relu(Number(margin) - value) ** 2);
  return sum(hardPositives) + sum(hardNegatives);
}

function tripletsOfBatch(rows: Matrix, labels: readonly number[], { distance, margin }: Parameters) {
  const between = (i: number, j: number) => apart(distance, rows[i]!, rows[j]!, 0);
  return rows.map((_, anchor) => {
    const others = [...rows.keys()].filter((row) => row !== anchor);
    const near = others.filter((row) => labels[row] === labels[anchor]).map((row) => between(anchor, row));
    const far = others.filter((row) => labels[row] !== labels[anchor]).map((row) => between(anchor, row));
    return {
      hardest: relu(Math.max(0, ...near) - Math.min(...far) + Number(margin)),
      all: near.flatMap((p) => far.map((n) => relu(p - n + Number(margin)))),
    };
  });
}

/** The losses by their names in sentence-transformers. */
export const references: Readonly<Record<string, Reference>> = {
  CosineSimilarityLoss: ([a, b], labels) => mean(a!.map((row, i) => (cosine(row, b![i]!) - Number(labels[i])) ** 2)),
  TripletLoss: ([a, p, n], _, { distance, margin }) =>
    mean(a!.map((row, i) => relu(apart(distance, row, p![i]!) - apart(distance, row, n![i]!) + Number(margin)))),
  ContrastiveLoss: ([a, b], labels, { distance, margin, size_average: average }) => {
    const costs = a!.map((row, i) => {
      const d = apart(distance, row, b![i]!);
      return (labels[i] === 1 ? d ** 2 : relu(Number(margin) - d) ** 2) / 2;
    });
    return average === false ? sum(costs) : mean(costs);
  },
  OnlineContrastiveLoss: (columns, labels, parameters) => onlineContrastive(columns, numbers(labels), parameters),
  MultipleNegativesRankingLoss: (columns, _, parameters) => ranking(columns, parameters).forward,
  MultipleNegativesSymmetricRankingLoss: (columns, _, parameters) => {
    const { forward, backward } = ranking(columns, parameters);
    return (forward + backward) / 2;
  },
  CoSENTLoss: ([a, b], labels, { scale, similarity }) =>
    ordering(
      a!.map((row, i) => alike(similarity, row, b![i]!)),
      numbers(labels),
      Number(scale),
    ),
  AnglELoss: ([a, b], labels, { scale }) =>
    ordering(
      a!.map((row, i) => angle(row, b![i]!)),
      numbers(labels),
      Number(scale),
    ),
  MSELoss: (columns, labels) =>
    mean(
      columns.map((column) =>
        mean(column.flatMap((row, i) => row.map((value, k) => (value - (labels[i] as Vector)[k]!) ** 2))),
      ),
    ),
  MarginMSELoss: ([query, positive, ...negatives], labels, { similarity }) =>
    mean(
      query!.flatMap((row, i) => {
        const label = labels[i]!;
        const given = typeof label === 'number' ? [label] : label;
        const margins = given.length > negatives.length ? given.slice(1).map((score) => given[0]! - score) : given;
        const right = alike(similarity, row, positive![i]!);
        return negatives.map((negative, k) => (right - alike(similarity, row, negative[i]!) - margins[k]!) ** 2);
      }),
    ),
  BatchHardTripletLoss: ([rows], labels, parameters) =>
    mean(tripletsOfBatch(rows!, numbers(labels), parameters).map(({ hardest }) => hardest)),
  BatchAllTripletLoss: ([rows], labels, parameters) => {
    const positive = tripletsOfBatch(rows!, numbers(labels), parameters).flatMap(({ all }) =>
      all.filter((cost) => cost > 1e-16),
    );
    return positive.length === 0 ? 0 : mean(positive);
  },
  MatryoshkaLoss: (columns, labels, parameters) => {
    const {
      loss,
      loss_params: inner,
      dims,
      weights,
    } = parameters as { loss: string; loss_params: Parameters; dims: number[]; weights: number[] };
    const cut = (row: Vector, size: number) => {
      const kept = row.slice(0, size);
      return kept.map((value) => value / norm(kept));
    };
    return sum(
      dims.map((size, i) => {
        const targets = loss === 'MSELoss' ? labels.map((label) => cut(label as Vector, size)) : labels;
        const parts = columns.map((column) => column.map((row) => cut(row, size)));
        return weights[i]! * references[loss]!(parts, targets, inner);
      }),
    );
  },
};
