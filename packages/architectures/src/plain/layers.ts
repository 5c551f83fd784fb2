// Matrix products, softmax, linear layers, normalizations and rotary positions in plain TypeScript.
import type { LayerOperations } from '../operations.ts';
import { checkNorm, halfShape, linearShape, matmulShape } from '../shapes.ts';
import { broadcastData } from './elementwise.ts';
import { entries, type FloatArrays, numericShape, type PlainTensor } from './tensor.ts';

type Numbers = PlainTensor['data'];

/** A matrix within `data`: the entry (row, col) is at `start + row * rowStep + col * colStep`. */
interface MatrixView {
  readonly data: Numbers;
  readonly start: number;
  readonly rowStep: number;
  readonly colStep: number;
}

function matrixAt(x: PlainTensor, index: number, transposed: boolean): MatrixView {
  const [rows, cols] = x.shape.slice(-2) as [number, number];
  const start = index * rows * cols;
  return { data: x.data, start, rowStep: transposed ? 1 : cols, colStep: transposed ? cols : 1 };
}

function multiplyInto(
  result: Numbers,
  at: number,
  a: MatrixView,
  b: MatrixView,
  sizes: { rows: number; inner: number; cols: number },
): void {
  const { rows, inner, cols } = sizes;
  for (let row = 0; row < rows; row += 1) {
    for (let col = 0; col < cols; col += 1) {
      result[at + row * cols + col] = dotProduct(a, a.start + row * a.rowStep, b, b.start + col * b.colStep, inner);
    }
  }
}

/** The dot product of a row that starts at `left` and a column that starts at `right`, both of `count` entries. */
function dotProduct(
  { data: x, colStep }: MatrixView,
  left: number,
  { data: y, rowStep }: MatrixView,
  right: number,
  count: number,
): number {
  let sum = 0;
  for (let k = 0; k < count; k += 1) sum += x[left + k * colStep]! * y[right + k * rowStep]!;
  return sum;
}

/** The layers. Sums are computed in float64, and results are stored in `Floats`. */
export function layers(Floats: FloatArrays): Omit<LayerOperations<PlainTensor>, 'attention'> {
  const matmul: LayerOperations<PlainTensor>['matmul'] = (
    a,
    b,
    { transposeLeft = false, transposeRight = false } = {},
  ) => {
    const shape = numericShape(matmulShape(a.shape, b.shape, transposeLeft, transposeRight));
    const [rows, cols] = shape.slice(-2) as [number, number];
    const inner = a.shape.at(transposeLeft ? -2 : -1)!;
    const data = new Floats(entries(shape));
    for (let index = 0; index < entries(shape.slice(0, -2)); index += 1) {
      multiplyInto(data, index * rows * cols, matrixAt(a, index, transposeLeft), matrixAt(b, index, transposeRight), {
        rows,
        inner,
        cols,
      });
    }
    return { data, shape };
  };

  /** Calls `compute` for each row along the last axis; `compute` writes its results into `output`. */
  function alongLastAxis(x: PlainTensor, compute: (input: Numbers, output: Numbers, row: number) => void): PlainTensor {
    const width = x.shape.at(-1)!;
    const data = new Floats(x.data.length);
    for (let start = 0; start < data.length; start += width) {
      compute(x.data.subarray(start, start + width), data.subarray(start, start + width), start / width);
    }
    return { data, shape: x.shape };
  }

  return {
    matmul,

    softmax(x) {
      return alongLastAxis(x, (input, output) => {
        let largest = -Infinity;
        for (const entry of input) largest = Math.max(largest, entry);
        let sum = 0;
        for (let i = 0; i < input.length; i += 1) sum += output[i] = Math.exp(input[i]! - largest);
        for (let i = 0; i < input.length; i += 1) output[i]! /= sum;
      });
    },

    linear(x, weight, bias) {
      const shape = numericShape(linearShape(x.shape, weight.shape, bias?.shape));
      const [outputs, inputs] = weight.shape as [number, number];
      const rows = { data: x.data, shape: [x.data.length / inputs, inputs] };
      const { data } = matmul(rows, weight, { transposeRight: true });
      if (bias !== undefined) for (let i = 0; i < data.length; i += 1) data[i]! += bias.data[i % outputs]!;
      return { data, shape };
    },

    layerNorm(x, weight, bias, epsilon) {
      checkNorm('layerNorm', x.shape, weight.shape, bias?.shape);
      const width = x.shape.at(-1)!;
      const statistics = [...x.shape.slice(0, -1), 1];
      const mean = new Floats(entries(statistics));
      const inverseDeviation = new Floats(mean.length);
      const output = alongLastAxis(x, (input, result, row) => {
        let sum = 0;
        for (const entry of input) sum += entry;
        const center = sum / width;
        let squares = 0;
        for (const entry of input) squares += (entry - center) ** 2;
        const scale = 1 / Math.sqrt(squares / width + epsilon);
        for (let i = 0; i < width; i += 1)
          result[i] = (input[i]! - center) * scale * weight.data[i]! + (bias?.data[i] ?? 0);
        mean[row] = center;
        inverseDeviation[row] = scale;
      });
      return {
        output,
        mean: { data: mean, shape: statistics },
        inverseDeviation: { data: inverseDeviation, shape: statistics },
      };
    },

    rmsNorm(x, weight, epsilon) {
      checkNorm('rmsNorm', x.shape, weight.shape);
      return alongLastAxis(x, (input, output) => {
        let squares = 0;
        for (const entry of input) squares += entry ** 2;
        const scale = 1 / Math.sqrt(squares / input.length + epsilon);
        for (let i = 0; i < input.length; i += 1) output[i] = input[i]! * scale * weight.data[i]!;
      });
    },

    rotate(x, cosines, sines) {
      const half = numericShape(halfShape(x.shape, cosines.shape, sines.shape));
      const [cos, sin] = [broadcastData(cosines, half), broadcastData(sines, half)];
      const pairs = half.at(-1)!;
      return alongLastAxis(x, (input, output, row) => {
        for (let i = 0; i < pairs; i += 1) {
          const [c, s] = [cos[row * pairs + i]!, sin[row * pairs + i]!];
          output[i] = input[i]! * c - input[i + pairs]! * s;
          output[i + pairs] = input[i + pairs]! * c + input[i]! * s;
        }
      });
    },
  };
}
