import type { TransformerSizes } from './bare-products.ts';

/** A model to measure, as a folder that every candidate can load. */
export interface BenchModel {
  readonly name: string;
  /**
   * Makes the folder below `directory`, unless it is there, and returns its path. It holds `onnx/model.onnx`, the file
   * that all candidates run.
   */
  prepare(directory: string): Promise<string>;
  /** The matrix products of its layers. `undefined`: it is not compared with bare products. */
  readonly sizes?: TransformerSizes;
}
