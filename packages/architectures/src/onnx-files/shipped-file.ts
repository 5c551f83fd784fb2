import { SentvecError } from '@sentvec/core';

/** An ONNX file of a model folder, and what lies beside it. */
export interface ShippedFile {
  readonly path: string;
  /** Files whose names begin with that of the file: its external data. */
  readonly beside: readonly string[];
}

/** The ONNX files of a model that are used without being asked for, best first. */
const usualFiles = ['onnx/model.onnx', 'model.onnx'];

/**
 * The ONNX file that a model ships with.
 * @param model how a person would name the model, for the message
 * @param paths all files of the model
 * @param variant name of the file without its ending, `model_quantized` say; `undefined` for the usual one
 * @returns `undefined` when there is none
 * @throws SentvecError `invalid-argument` when there is no such variant
 */
export function findShippedFile(
  model: string,
  paths: readonly string[],
  variant: string | undefined,
): ShippedFile | undefined {
  const path =
    variant === undefined ? usualFiles.find((each) => paths.includes(each)) : findVariant(model, paths, variant);
  return path === undefined
    ? undefined
    : { path, beside: paths.filter((other) => other.startsWith(path) && other !== path) };
}

function findVariant(model: string, paths: readonly string[], variant: string): string {
  const path = [`onnx/${variant}.onnx`, `${variant}.onnx`].find((candidate) => paths.includes(candidate));
  if (path !== undefined) return path;
  const present = paths
    .filter((other) => other.endsWith('.onnx'))
    .map((other) => other.replace(/^onnx\//u, '').replace(/\.onnx$/u, ''));
  const choice =
    present.length > 0
      ? `It has ${present.join(', ')}.`
      : 'It has no ONNX files; without a variant one is made from its safetensors.';
  throw new SentvecError('invalid-argument', `${model} has no ONNX variant "${variant}". ${choice}`, { variant });
}
