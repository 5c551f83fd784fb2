// The tensor operations with which encoders, heads and losses are written, and the types of their operands.
/**
 * The size of one axis: a number or, in a recorded graph, an expression of named sizes in a canonical form (see
 * `dimensions.ts`), such as `batch`, `batch*length`, `2*pairs`, `negatives+pairs`. Two axes have the same size if and
 * only if their dimensions are `===`. Interpreters that compute values immediately use only numbers. Build expressions
 * with `productOf` and `sumOf`, not by hand.
 */
export type Dimension = number | string;

/** The sizes of the axes of a tensor, outermost first. `[]` is the shape of a single number. */
export type Shape = readonly Dimension[];

/** A tensor, or a number that stands for a tensor of shape `[]`. */
export type Operand<Tensor> = Tensor | number;

/**
 * The result of a layer normalization, with the statistics that its gradient needs. These have the shape of the input
 * with a last size of 1.
 */
export interface Normalized<Tensor> {
  readonly output: Tensor;
  readonly mean: Tensor;
  /** 1 / sqrt(variance + epsilon) */
  readonly inverseDeviation: Tensor;
}

/** Properties of row indices that allow a faster implementation. */
export interface RowsOptions {
  /**
   * Whether the indices are distinct. If it is true and they are not, the result is undefined.
   * @default false
   */
  readonly distinct?: boolean | undefined;
}

/** Which operands of a matrix product are transposed, that is have their last two axes swapped. */
export interface MatrixProductOptions {
  /** @default false */
  readonly transposeLeft?: boolean | undefined;
  /** @default false */
  readonly transposeRight?: boolean | undefined;
}

/**
 * The tensor operations with which encoders, heads and losses are written. They are generic in the tensor type, which
 * depends on the interpreter: numbers in memory (`plainOperations`), values of an ONNX graph (`OnnxRecorder`) or
 * TensorFlow.js tensors. `Tape` wraps an interpreter to compute gradients. Other operations, such as mean, minimum or
 * log-softmax, are composed of these (`derived-operations.ts`). Rules for all operations:
 * - There are two kinds of tensors. **Floats** (float32) are used for computations. **Indices** (integers) identify
 *   rows; they are results of `range`, `toIndex` and `constant` with an Int32Array, or inputs, and operands of
 *   `gather`, `scatterAdd`, `toFloat`, `reshape` and `broadcastTo`. Truth values are the floats 1 and 0: "and" is
 *   `multiply`, "not" is `subtract(1, x)`.
 * - Operations with two operands broadcast as in NumPy: shapes are aligned at their ends, and axes of size 1 are
 *   repeated.
 * - `axis` and `axes` count from 0 at the outermost axis; negative ones count from the end.
 * - Operations do not change their operands. They may return an operand if it is the result.
 * - Wrong shapes throw an `Error` (not a `SentvecError`, since they are a bug in the program) with the operation and
 *   the shapes. `differentiation/rules.ts` contains the gradient rule of each operation.
 */
export interface Operations<Tensor>
  extends
    CreationOperations<Tensor>,
    MovementOperations<Tensor>,
    ElementwiseOperations<Tensor>,
    ReductionOperations<Tensor>,
    LayerOperations<Tensor>,
    ControlOperations<Tensor> {}

/** Operations that create tensors, and the shape of a tensor. */
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
  /** Floats with integer values as indices. No gradient. */
  toIndex(x: Tensor): Tensor;
  /** The same floats without a gradient, for example the outputs of a teacher model. */
  detach(x: Tensor): Tensor;
}

/** Operations that move entries without changing them. */
export interface MovementOperations<Tensor> {
  /** The same entries in row-major order with another shape of the same size. Also for indices. */
  reshape(x: Tensor, shape: Shape): Tensor;
  /** Axis i of the result is axis `permutation[i]` of `x`. */
  transpose(x: Tensor, permutation: readonly number[]): Tensor;
  /** Repeats `x` along axes of size 1 and along new outer axes to the shape `shape`. Also for indices. */
  broadcastTo(x: Tensor, shape: Shape): Tensor;
  /** Concatenates at least one tensor along `axis`; all other sizes must be equal. */
  concat(parts: readonly Tensor[], axis: number): Tensor;
  /** The entries from `start`, inclusive, to `start + length`, exclusive, along an axis. */
  slice(x: Tensor, axis: number, start: Dimension, length: Dimension): Tensor;
  /** The inverse of `slice`: pads `x` with zeros to the size `size` along an axis, so that `x` begins at `start`. */
  pad(x: Tensor, axis: number, start: Dimension, size: Dimension): Tensor;
  /**
   * The rows of `table` (its entries along axis 0) with these indices. The shape of the result is that of `indices`
   * followed by that of a row. With an index outside the table, the result depends on the interpreter. The table may
   * contain indices.
   */
  gather(table: Tensor, indices: Tensor, options?: RowsOptions): Tensor;
  /**
   * The inverse of `gather`: a tensor of zeros, `[size, …row shape]`, to which each row of `rows` is added at its
   * index. The shape of `rows` is that of `indices` followed by that of a row.
   */
  scatterAdd(rows: Tensor, indices: Tensor, size: Dimension, options?: RowsOptions): Tensor;
}

/** Element-wise functions of one operand, or of two operands of which at least one is a tensor. */
export interface ElementwiseOperations<Tensor> {
  add(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  subtract(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  multiply(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  divide(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /** The larger operand. If both are equal, each gets half of the gradient. */
  maximum(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /** 1 where a > b, else 0. No gradient. */
  greater(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /** 1 where a = b, else 0. No gradient. */
  equal(a: Operand<Tensor>, b: Operand<Tensor>): Tensor;
  /**
   * `a` where `condition` is not 0, otherwise `b`; all three broadcast. Entries that are not selected have no effect,
   * even if they are infinite, and get no gradient.
   */
  where(condition: Tensor, a: Operand<Tensor>, b: Operand<Tensor>): Tensor;

  exp(x: Tensor): Tensor;
  /** Natural logarithm. */
  log(x: Tensor): Tensor;
  /** The square root. Its gradient at 0 is infinite: if `x` can be 0, use `maximum` with a small number. */
  sqrt(x: Tensor): Tensor;
  tanh(x: Tensor): Tensor;
  /** 1 / (1 + exp(-x)) */
  sigmoid(x: Tensor): Tensor;
  /** The error function. */
  erf(x: Tensor): Tensor;
  /** max(x, 0), with the gradient 0 at 0. */
  relu(x: Tensor): Tensor;
  /** x · (1 + erf(x / √2)) / 2, the exact form (Hendrycks and Gimpel, 2016). */
  gelu(x: Tensor): Tensor;
}

/**
 * Reductions over at least one axis. `axes` are removed, or kept with the size 1 if `keepAxes` is true (default:
 * false).
 */
export interface ReductionOperations<Tensor> {
  sum(x: Tensor, axes: readonly number[], keepAxes?: boolean): Tensor;
  /** The largest entry. Its gradient is divided equally among all entries that are equal to it. */
  max(x: Tensor, axes: readonly number[], keepAxes?: boolean): Tensor;
  /** log(Σ exp(x)), without overflow. */
  logSumExp(x: Tensor, axes: readonly number[], keepAxes?: boolean): Tensor;
  /** The cumulative sum along an axis: each entry is the sum of itself and all earlier entries. */
  cumulativeSum(x: Tensor, axis: number): Tensor;
}

/** The layers in which encoders spend most of their time. */
export interface LayerOperations<Tensor> {
  /** exp(x) / Σ exp(x) along the last axis, without overflow. */
  softmax(x: Tensor): Tensor;
  /**
   * Matrix products of the last two axes. Both operands have the same number of axes, at least two, and equal sizes in
   * all other axes.
   */
  matmul(a: Tensor, b: Tensor, options?: MatrixProductOptions): Tensor;
  /**
   * x · weightᵀ + bias. `x` is `[…, in]` with at least two axes, `weight` is `[out, in]` as in PyTorch, `bias` is
   * `[out]`. Most of the time of an encoder is spent in this operation.
   */
  linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor;
  /**
   * (x - mean) / sqrt(variance + epsilon) · weight + bias along the last axis, with the biased variance (Ba et al.,
   * 2016). `weight` and the optional `bias` are `[last size of x]`.
   */
  layerNorm(x: Tensor, weight: Tensor, bias: Tensor | undefined, epsilon: number): Normalized<Tensor>;
  /**
   * x / sqrt(mean of x² + epsilon) · weight along the last axis (Zhang and Sennrich, 2019). `weight` is `[last size of
   * x]`.
   */
  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor;
  /**
   * softmax(queries · keysᵀ) · values without a matrix of all scores (Dao et al., 2022), for long inputs. `queries` are
   * `[batch, heads, n, width]`, `keys` `[batch, heads, m, width]`, `values` and the result `[batch, heads, m or n,
   * value width]`; n is at least 128.
   */
  attention(queries: Tensor, keys: Tensor, values: Tensor): Tensor;
  /**
   * Rotary position embeddings (Su et al., 2021): rotates each pair (x[i], x[i + n]) of the 2n entries along the last
   * axis by the angle whose cosine and sine are `cosines[i]` and `sines[i]`. Both are `[…, n]` and broadcast to the
   * other axes of `x`. They get no gradient.
   */
  rotate(x: Tensor, cosines: Tensor, sines: Tensor): Tensor;
}

/** A block of entries along an axis, such as queries, and the range of entries that it uses, such as keys. */
export interface Block {
  readonly start: Dimension;
  /** The number of entries. */
  readonly size: Dimension;
  /** The first entry of the used range. */
  readonly from: Dimension;
  /** The number of entries in the used range. */
  readonly length: Dimension;
}

/** The size of blocks, and the range of entries that a block uses. */
export interface BlockSizes {
  /** The number of entries of a block. The last block has the same size, so it may overlap the previous one. */
  readonly size: number;
  /**
   * The number of entries before its first entry that a block uses.
   * @default all
   */
  readonly before?: number | undefined;
  /**
   * The number of entries after its last entry that a block uses.
   * @default all
   */
  readonly after?: number | undefined;
}

/** Conditions on sizes and loops over blocks, with which long inputs are computed in limited memory. */
export interface ControlOperations<Tensor> {
  /**
   * Computes floats with `long` if `size` is larger than `limit`, otherwise with `short`. Both return the same shape
   * and values. Without `long`, nothing is computed for a larger size, and the result must not be used. The gradient is
   * always that of `short`.
   */
  ifLonger(size: Dimension, limit: number, long: (() => Tensor) | undefined, short: () => Tensor): Tensor;
  /**
   * Computes floats in blocks along `axis`, one after the other, so that the memory of one block is freed before the
   * next one. `compute` returns the entries of a block. `count`, the total number of entries, must be at least
   * `sizes.size`.
   */
  inBlocks(count: Dimension, sizes: BlockSizes, axis: number, compute: (block: Block) => Tensor): Tensor;
}
