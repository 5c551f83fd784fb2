import type { TransformerSizes } from './bare-products.ts';

/** A model to measure. Its folder can be loaded by every candidate. */
export interface BenchModel {
  readonly name: string;
  /**
   * Creates the model folder below `directory`, unless it exists, and returns its path. It contains `onnx/model.onnx`,
   * the file that all candidates run.
   */
  prepare(directory: string): Promise<string>;
  /** The sizes of its layers. If `undefined`, the model is not compared with bare products. */
  readonly sizes?: TransformerSizes;
}
