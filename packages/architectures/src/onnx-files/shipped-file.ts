// The ONNX file that a model ships with, and the files that it keeps its weights in.
import { cannotBeExternalData, type ModelFiles } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';

/** The ONNX files of a model that are used without being asked for, best first. */
const standardFiles = ['onnx/model.onnx', 'model.onnx'];

/**
 * The ONNX file that a model ships with.
 * @param model how a person would name the model, for the message
 * @param paths all files of the model
 * @param variant name of the file without its ending, such as `model_quantized`; `undefined` for the standard one, or, in a
 * folder without other weights, the only one
 * @returns its path; `undefined` when there is none
 * @throws SentvecError `invalid-argument` when there is no such variant, or there are several and no other weights
 */
export function findShippedFile(
  model: string,
  paths: readonly string[],
  variant: string | undefined,
): string | undefined {
  if (variant !== undefined) return findVariant(model, paths, variant);
  // An adapter changes the safetensors; the ONNX file may be that of the model without it.
  if (paths.includes('adapter_config.json')) return undefined;
  const standard = standardFiles.find((each) => paths.includes(each));
  if (standard !== undefined || paths.some((path) => /^model[^/]*\.safetensors$/u.test(path))) return standard;
  const variants = variantsIn(paths);
  if (variants.length <= 1) return paths.find((path) => path.endsWith('.onnx'));
  throw new SentvecError(
    'invalid-argument',
    `${model} has ${variants.join(', ')} and no default weights. Choose one, for example with onnx({ variant: '${variants[0]!}' }).`,
    { variants },
  );
}

/** Whether an ONNX file holds the default weights of a model: others have a fingerprint of their own. */
export function isUsualFile(path: string): boolean {
  return standardFiles.includes(path);
}

/** The names of all ONNX files, without their endings. */
function variantsIn(paths: readonly string[]): string[] {
  return paths
    .filter((path) => path.endsWith('.onnx'))
    .map((path) => path.replace(/^onnx\//u, '').replace(/\.onnx$/u, ''));
}

function findVariant(model: string, paths: readonly string[], variant: string): string {
  const path = [`onnx/${variant}.onnx`, `${variant}.onnx`].find((candidate) => paths.includes(candidate));
  if (path !== undefined) return path;
  const present = variantsIn(paths);
  const choice =
    present.length > 0
      ? `It has ${present.join(', ')}.`
      : 'It has no ONNX files; without a variant one is made from its safetensors.';
  throw new SentvecError('invalid-argument', `${model} has no ONNX variant "${variant}". ${choice}`, { variant });
}

/** A file with weights of an ONNX file. */
export interface ExternalFile {
  /** As the ONNX file names it. */
  readonly location: string;
  /** Of the file in the model. */
  readonly path: string;
}

/**
 * The files in which an ONNX file keeps weights. Mostly their names begin with its own; where other files are beside
 * it, it is read for the names, which may be any.
 * @param path of the ONNX file in the model
 * @throws SentvecError `invalid-model` when a file that it names is missing
 */
export async function findExternalFiles(files: ModelFiles, path: string): Promise<ExternalFile[]> {
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  const paths = await files.list();
  const names = paths
    .filter((other) => other.startsWith(folder) && !other.slice(folder.length).includes('/'))
    .map((other) => other.slice(folder.length));
  const graphs = names.filter((name) => name.endsWith('.onnx'));
  const data = names.filter((name) => !cannotBeExternalData(name));
  const standard = data.filter((name) => name.startsWith(path.slice(folder.length)));
  const areAllStandard = data.every((name) => graphs.some((graph) => name.startsWith(graph)));
  const locations = areAllStandard ? standard : await locationsIn(await files.read(path), standard);
  return locations.map((location) => {
    const file = folder + location.replace(/^(?:\.\/)+/u, '');
    if (paths.includes(file)) return { location, path: file };
    throw new SentvecError(
      'invalid-model',
      `${files.name}/${path} keeps weights in ${JSON.stringify(location)}, which is missing. Is the folder complete?`,
      { file: `${files.name}/${path}` },
    );
  });
}

async function locationsIn(graph: Uint8Array, standard: readonly string[]): Promise<readonly string[]> {
  const { externalDataLocations } = await import('./graph-contents.ts');
  try {
    return externalDataLocations(graph);
  } catch {
    // Opening the file will say what is wrong with it.
    return standard;
  }
}
