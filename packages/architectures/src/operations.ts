// The vocabulary of this package: the tensor operations, and what their operands are.
/**
 * The size of one axis. A number, or, while a graph is recorded whose sizes are not known yet, an expression over named
 * sizes in the canonical form that `dimensions.ts` makes: `batch`, `batch*length`, `2*pairs`, `negatives+pairs`. Two
 * axes have the same size exactly when their dimensions are `===`. Interpreters that compute at once only ever see
 * numbers. Never build such a string by hand: use `productOf` and `sumOf`.
 */
export type Dimension = number | string;

/** The sizes of a tensor's axes, outermost first. `[]` is a single number. */
export type Shape = readonly Dimension[];

/** A tensor, or a number that stands for a tensor of shape `[]`. */
export type Operand<Tensor> = Tensor | number;

/** A layer normalization with what its gradient needs. The last two have the input's shape, with 1 as last size. */
export interface Normalized<Tensor> {
  readonly output: Tensor;
  readonly mean: Tensor;
  /** 1 / sqrt(variance + epsilon) */
  readonly inverseDeviation: Tensor;
}

/** A promise about a list of rows that lets an interpreter copy where it would have to add. */
export interface RowsOptions {
  /**
   * No row occurs twice in `indices`. When one does anyway, the numbers are wrong.
   * @default false
   */
  readonly distinct?: boolean | undefined;
}

/** Which operands of a matrix product are read transposed: their last two axes exchanged. */
export interface MatrixProductOptions {
  /** @default false */
  readonly transposeLeft?: boolean | undefined;
  /** @default false */
  readonly transposeRight?: boolean | undefined;
}

/**
 * The closed set of tensor operations over which encoders, heads and losses are written, each once, generic over the
 * tensor type. An interpreter decides what a tensor is: numbers in memory (`plainOperations`), a value in an ONNX graph
 * (`OnnxRecorder`), a TensorFlow.js tensor; `Tape` wraps any of them and differentiates. Everything else, such as mean,
 * minimum, cosine or log-softmax, is composed from these (`derived-operations.ts`).
 *
 * Rules that hold throughout:
 * - There are two kinds of tensor. **Floats** (float32) are what everything computes with. **Indices** (integers) only
 *   name rows; they come from `range`, `toIndex`, `constant` with an Int32Array, or an input, and go to `gather` and
 *   `scatterAdd`, to `toFloat`, and through `reshape`, `broadcastTo` and (as a table) `gather`. Truth values are
 *   floats, 1 or 0: "and" is `multiply`, "not" is `subtract(1, x)`.
 * - Operations with two operands broadcast as in NumPy: shapes are aligned at their ends, a size of 1 stretches.
 * - `axis` and `axes` count from 0 at the outermost axis; negative ones count from the end.
 * - Operations never change their operands. They may return an operand itself, when that is the result.
 * - Wrong shapes throw an `Error` that names the operation and the shapes: they are a mistake in the program, not in
 *   its input.
 *
 * The gradient rule of every operation, in terms of the operations, is in `differentiation/rules.ts`.
 */
export interface Operations<Tensor>
  extends
    CreationOperations<Tensor>,
    MovementOperations<Tensor>,
    ElementwiseOperations<Tensor>,
    ReductionOperations<Tensor>,
    LayerOperations<Tensor>,
    ControlOperations<Tensor> {}

/** Tensors and their shapes. */
export interface CreationOperations<Tensor> {
  shape(x: Tensor): Shape;
  /**
   * A tensor with known entries, row-major: floats from a Float32Array, indices from an Int32Array. The array must not
   * change afterwards: interpreters may use it without copying it.
   */
  constant(data: Float32Array | Int32Array, shape: readonly number[]): Tensor;
  /** A dimension as a float, shape `[]`: the divisor of a mean, for example. */
  size(dimension: Dimension): Tensor;
  /** Indices 0, 1, … `length - 1`. */
  range(length: Dimension): Tensor;
  /** Indices as floats. Exact below 2^24. No gradient. */
  toFloat(indices: Tensor): Tensor;
  /** Floats that hold whole numbers, as indices. No gradient. */
  toIndex(x: Tensor): Tensor;
  /** The same floats, through which no gradient flows: what a teacher gives. */
  detach(x: Tensor): Tensor;
}

/** What moves entries without changing them. */
export interface MovementOperations<Tensor> {
  /** The same entries in the same row-major order. `shape` has as many entries as `x`. Also for indices. */
  reshape(x: Tensor, shape: Shape): Tensor;
  /** Axis i of the result is axis `permutation[i]` of `x`. */
  transpose(x: Tensor, permutation: readonly number[]): Tensor;
  /** Repeats `x` along its axes of size 1, and along new axes in front, up to `shape`. Also for indices. */
  broadcastTo(x: Tensor, shape: Shape): Tensor;
  /** One after the other along `axis`; all other sizes are equal. At least one part. */
  concat(parts: readonly Tensor[], axis: number): Tensor;
  /** The `length` entries of an axis that begin at `start`. */
  slice(x: Tensor, axis: number, start: Dimension, length: Dimension): Tensor;
  /** The inverse of `slice`: `x` within zeros, beginning at `start` of an axis that becomes `size` long. */
  pad(x: Tensor, axis: number, start: Dimension, size: Dimension): Tensor;
  /**
   * Rows of `table` (its entries along axis 0) by number: the result has the shape of `indices`, then the rest of
   * `table`'s. Indices are within the table; what happens with others is up to the interpreter. The table may itself be
   * one of indices.
   */
  gather(table: Tensor, indices: Tensor, options?: RowsOptions): Tensor;
  /**
   * The inverse of `gather`: zeros of shape `[size, …rest]`, to whose row `indices[i]` row i of `rows` is added.
   * `indices` has any shape, `rows` has that shape and then the rest.
   */
  scatterAdd(rows: Tensor, indices: Tensor, size: Dimension, options?: RowsOptions): Tensor;
}

/** Functions that are applied entry by entry: to one operand, or to two, at least one of which is a tensor. */
export interface ElementwiseOperations<Tensor> {
  add(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  subtract(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  multiply(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  divide(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /** The larger one. Where both are equal each takes half of the gradient. */
  maximum(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /** 1 where a > b, else 0. No gradient. */
  greater(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /** 1 where a = b, else 0. No gradient. */
  equal(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /**
   * `a` where `condition` is not 0, `b` where it is 0; all three broadcast. What is not chosen takes no part: neither
   * its value, even if it is infinite, nor a gradient.
   */
  where(condition: Tensor, a: Operand<Tensor>, b: Operand<Tensor>): Tensor;

  exp(x: Tensor): Tensor;
  /** Natural logarithm. */
  log(x: Tensor): Tensor;
  /** The gradient at 0 is infinite: bound `x` from below by `maximum` where it can be 0. */
  sqrt(x: Tensor): Tensor;
  tanh(x: Tensor): Tensor;
  /** 1 / (1 + exp(-x)) */
  sigmoid(x: Tensor): Tensor;
  /** The error function. */
  erf(x: Tensor): Tensor;
  /** max(x, 0), with gradient 0 at 0. */
  relu(x: Tensor): Tensor;
  /** x · (1 + erf(x / √2)) / 2, the exact form (Hendrycks and Gimpel, 2016). */
  gelu(x: Tensor): Tensor;
}

/**
 * Reductions. `axes` are removed, or stay with size 1 when `keepAxes` is true (default false). At least one axis is
 * named.
 */
export interface ReductionOperations<Tensor> {
  sum(x: Tensor, axes: readonly number[], keepAxes?: boolean): Tensor;
  /** The largest entry. The gradient is shared by all entries that are equal to it. */
  max(x: Tensor, axes: readonly number[], keepAxes?: boolean): Tensor;
  /** log(Σ exp(x)), without overflow. */
  logSumExp(x: Tensor, axes: readonly number[], keepAxes?: boolean): Tensor;
  /** The sum of each entry and those before it along the axis. */
  cumulativeSum(x: Tensor, axis: number): Tensor;
}

/** Where encoders spend their time. */
export interface LayerOperations<Tensor> {
  /** exp(x) / Σ exp(x) along the last axis, without overflow. */
  softmax(x: Tensor): Tensor;
  /**
   * Matrix products of the last two axes, for each entry of the axes before them. Both operands have the same number of
   * axes, at least two, and equal sizes in all but the last two.
   */
  matmul(a: Tensor, b: Tensor, options?: MatrixProductOptions): Tensor;
  /**
   * x · weightᵀ + bias. `x` is `[…, in]` with at least two axes, `weight` is `[out, in]` as PyTorch stores it, `bias`
   * is `[out]`. The one operation in which nearly all time is spent.
   */
  linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor;
  /**
   * (x - mean) / sqrt(variance + epsilon) · weight + bias along the last axis, with the biased variance (Ba et al.,
   * 2016). `weight` and `bias` are `[last size of x]`; without a bias nothing is added.
   */
  layerNorm(x: Tensor, weight: Tensor, bias: Tensor | undefined, epsilon: number): Normalized<Tensor>;
  /**
   * x / sqrt(mean of x² + epsilon) · weight along the last axis (Zhang and Sennrich, 2019). `weight` is `[last size of
   * x]`.
   */
  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor;
  /**
   * softmax(queries · keysᵀ) · values, for each entry of the first two axes, without keeping all products (Dao et al.,
   * 2022): for long inputs. `queries` are `[batch, heads, n, width]`, `keys` `[batch, heads, m, width]`, `values`
   * `[batch, heads, m, width of a result]`; n is at least 128.
   */
  attention(queries: Tensor, keys: Tensor, values: Tensor): Tensor;
  /**
   * Rotary position embedding (Su et al., 2021): turns each pair (x[i], x[i + n]) of the 2n entries along the last axis
   * by an angle, whose cosine and sine are `cosines[i]` and `sines[i]`. Both are `[…, n]` and broadcast to the rest of
   * `x`. No gradient flows into them.
   */
  rotate(x: Tensor, cosines: Tensor, sines: Tensor): Tensor;
}

/** A block of the entries along an axis, and the entries that it looks at. */
export interface Block {
  readonly start: Dimension;
  /** How many entries it has. */
  readonly size: Dimension;
  /** The first entry that it looks at. */
  readonly from: Dimension;
  /** How many entries it looks at. */
  readonly length: Dimension;
}

/** How large blocks are, and how far they look. */
export interface BlockSizes {
  /** Entries of a block. The last block has as many: it may begin within the one before. */
  readonly size: number;
  /**
   * How many entries before its first one a block looks at.
   * @default all
   */
  readonly before?: number | undefined;
  /**
   * How many entries after its last one a block looks at.
   * @default all
   */
  readonly after?: number | undefined;
}

/** What depends on a size, or is computed block by block: how long inputs are computed in little memory. */
export interface ControlOperations<Tensor> {
  /**
   * Floats that can be computed in two ways: by `long` where `size` is above `limit`, else by `short`. Both give the
   * same shape. Without `long`, nothing is computed for a larger size, and the result must not be used then. The
   * gradient is that of `short`, for every size.
   */
  ifLonger(size: Dimension, limit: number, long: (() => Tensor) | undefined, short: () => Tensor): Tensor;
  /**
   * Floats whose axis `axis` is computed block by block, one after the other: what one block needs is freed before the
   * next. `compute` gives the entries of a block. `count` is not below `sizes.size`.
   */
  inBlocks(count: Dimension, sizes: BlockSizes, axis: number, compute: (block: Block) => Tensor): Tensor;
}
