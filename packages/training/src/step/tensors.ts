import type { OnnxValue, Tensor } from 'onnxruntime-common';
import type { Matrix } from '@sentvec/core';
import type { TrainingBatch } from '../batch.ts';
import type { OnnxRuntime } from './graph-runner.ts';

/** The input `labels`, where a batch has some. */
export function labelInput(
  TensorClass: OnnxRuntime['Tensor'],
  { labels, examples }: TrainingBatch,
): Record<string, Tensor> {
  if (labels === undefined) return {};
  const width = labels.length / examples;
  return { labels: new TensorClass('float32', labels, width === 1 ? [examples] : [examples, width]) };
}

/** An output of two axes as a matrix. */
export function matrixOf(value: OnnxValue): Matrix {
  const [rows, cols] = value.dims as [number, number];
  return { data: value.data as Float32Array, rows, cols };
}

/** An output of shape `[]`. */
export function numberOf(value: OnnxValue): number {
  return (value.data as Float32Array)[0]!;
}
