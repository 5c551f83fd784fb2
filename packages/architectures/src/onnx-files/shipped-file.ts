// Finds the ONNX file of a model folder, and the external data files with its weights.
import { cannotBeExternalData, type ModelFiles } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';

/** The ONNX files that are used by default, in order of preference. */
const standardFiles = ['onnx/model.onnx', 'model.onnx'];

/**
 * The path of the ONNX file in a model folder.
 * @param model the name of the model in messages
 * @param paths the paths of all files of the model
 * @param variant the name of the file without `.onnx`, such as `model_quantized`; `undefined` for the default file or,
 * in a folder without other weights, the only ONNX file
 * @returns `undefined` if there is none
 * @throws SentvecError `invalid-argument` if the variant does not exist, or if there are several ONNX files and no
 * default weights
 */
export function findShippedFile(
  model: string,
  paths: readonly string[],
  variant: string | undefined,
): string | undefined {
  if (variant !== undefined) return findVariant(model, paths, variant);
  // An adapter changes the weights in safetensors files, but the ONNX file may be that of the model without the
  // adapter.
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

/** Whether an ONNX file contains the default weights of a model. Other files are part of the fingerprint. */
export function isDefaultFile(path: string): boolean {
  return standardFiles.includes(path);
}

/** The names of all ONNX files without the folder `onnx/` and the extension. */
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
      : 'It has no ONNX files. Leave out the option "variant" to use its safetensors.';
  throw new SentvecError('invalid-argument', `${model} has no ONNX variant "${variant}". ${choice}`, { variant });
}

/** An external data file of an ONNX file. */
export interface ExternalFile {
  /** The path in the ONNX file, relative to its folder. */
  readonly location: string;
  /** The path in the model folder. */
  readonly path: string;
}

/**
 * The external data files of an ONNX file. By convention their names start with the name of the ONNX file. If its
 * folder contains other files too, the ONNX file is read to find the names.
 * @param path the path of the ONNX file in the model folder
 * @throws SentvecError `invalid-model` if such a file is missing
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
      `${files.name}/${path} has weights in ${JSON.stringify(location)}, which is missing. Add the file to the folder or download the model again.`,
      { file: `${files.name}/${path}` },
    );
  });
}

async function locationsIn(graph: Uint8Array, standard: readonly string[]): Promise<readonly string[]> {
  const { externalDataLocations } = await import('./graph-contents.ts');
  try {
    return externalDataLocations(graph);
  } catch {
    // The error is reported when the file is opened.
    return standard;
  }
}
