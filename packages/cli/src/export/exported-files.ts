// Makes the files of `sentvec export`.
import { selfCheckContent } from '@sentvec/architectures';
import {
  cannotBeExternalData,
  type Embedder,
  type ModelFiles,
  readJson,
  readJsonObject,
  readModelFolder,
  readWeights,
  type ModelFolder,
  selfCheckFile,
  SentvecError,
  writeSafetensors,
} from '@sentvec/core';
import type { FolderFile } from '@sentvec/platform/node';
import { onnxFiles, type OnnxFilesOptions } from './onnx-files.ts';
import { jsonFile, tokenizerFiles } from './tokenizer-files.ts';

/** Files that are not exported: weights for other frameworks, ONNX files, and files of version control and the hub. */
const leftOut =
  /^(onnx|openvino)\/|(^|\/)\.|^(pytorch_model.*\.bin.*|tf_model\.h5|flax_model\.msgpack|rust_model\.ot|[^/]*\.onnx)$/;

/**
 * Makes a self-contained model folder for sentence-transformers, transformers.js and sentvec: the files of the model
 * with the encoder in the root, `onnx/model.onnx`, and a `tokenizer.json` that needs no other file.
 * @param maxLength the maximum tokens of a text
 * @throws SentvecError `unsupported-model` for static embeddings, which have no encoder; `invalid-model`
 */
export async function exportedFiles(
  model: ModelFiles,
  maxLength: number,
  options: Pick<OnnxFilesOptions, 'record'> = {},
): Promise<FolderFile[]> {
  const folder = await readModelFolder(model);
  if (folder.encoder === 'static') {
    const message = `${model.name} has static embeddings, which need no ONNX model. Copy the folder instead.`;
    throw new SentvecError('unsupported-model', message, { file: model.name });
  }
  if (folder.route !== undefined) {
    const message = `${model.name} has several routes, but an export can have only one encoder. Export the folder of a route, such as ${folder.encoderPath}.`;
    throw new SentvecError('unsupported-model', message, { file: model.name });
  }
  const onnx = await onnxFiles(folder.encoderFiles, options);
  const merged = await mergedFiles(folder.encoderFiles);
  const files = new Map<string, FolderFile[1]>();
  const targets = (await model.list()).map((path) => [path, moveToTop(path, folder.encoderPath)] as const);
  const isGraphAtTop = targets.some(([, target]) => /^[^/]+\.onnx$/.test(target));
  for (const [path, target] of targets) {
    if (leftOut.test(target) || (merged.length > 0 && adapted.test(target))) continue;
    if (isGraphAtTop && !target.includes('/') && !cannotBeExternalData(target)) continue;
    files.set(target, () => model.read(path));
  }
  const replacements = [
    ...merged,
    ...(await moduleFiles(model, folder)),
    ...(await tokenizerFiles(folder, maxLength)),
    ...(await configFiles(folder.encoderFiles, onnx.externalData)),
    ...onnx.files,
  ];
  for (const [path, bytes] of replacements) files.set(path, bytes);
  return [...files].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The files of an adapter, and the weight files without the adapter. */
const adapted = /^(adapter_(config\.json|model\..+)|model.*\.safetensors.*)$/;

/** The weights with the adapter merged in, and the configuration of the base model. */
async function mergedFiles(encoderFiles: ModelFiles): Promise<FolderFile[]> {
  if (!(await encoderFiles.list()).includes('adapter_config.json')) return [];
  return [
    ['config.json', () => encoderFiles.read('config.json')],
    [
      'model.safetensors',
      async () => {
        const weights = await readWeights(encoderFiles);
        const tensors = weights.names().map((name) => [name, weights.tensor(name)] as const);
        return writeSafetensors(Object.fromEntries(tensors), { format: 'pt' });
      },
    ],
  ];
}

/**
 * Moves the encoder and the tokenizer from a subfolder such as `0_Transformer` to the root, where other libraries
 * expect them.
 */
function moveToTop(path: string, encoderPath: string): string {
  return encoderPath !== '' && path.startsWith(`${encoderPath}/`) ? path.slice(encoderPath.length + 1) : path;
}

async function moduleFiles(
  model: ModelFiles,
  { encoderPath, encoderFiles, head, lowerCase }: ModelFolder,
): Promise<FolderFile[]> {
  const files: FolderFile[] = [];
  const modules = (await readJson(model, 'modules.json')) as readonly ModuleEntry[] | undefined;
  if (modules === undefined) {
    const modes = head.pooling.modes ?? [];
    files.push(
      jsonFile('modules.json', [moduleEntry(0, '', 'Transformer'), moduleEntry(1, '1_Pooling', 'Pooling')]),
      jsonFile('1_Pooling/config.json', {
        pooling_mode: modes.length === 1 ? modes[0] : modes,
        include_prompt: head.pooling.includePrompt ?? true,
      }),
    );
  } else if (encoderPath !== '') {
    files.push(
      jsonFile(
        'modules.json',
        modules.map((entry) => (entry.path === encoderPath ? { ...entry, path: '' } : entry)),
      ),
    );
  }
  if (lowerCase) {
    const names = (await encoderFiles.list()).filter((path) => /^sentence_[\w-]+_config\.json$/.test(path));
    for (const name of names)
      files.push(jsonFile(name, { ...(await readJsonObject(encoderFiles, name)), do_lower_case: false }));
  }
  return files;
}

interface ModuleEntry {
  readonly path: string;
  readonly [key: string]: unknown;
}

function moduleEntry(idx: number, path: string, type: string): ModuleEntry {
  return { idx, name: String(idx), path, type: `sentence_transformers.models.${type}` };
}

/**
 * `config.json`, if it must change: it has the number of external data files that transformers.js must fetch.
 * transformers.js supports the names `model.onnx_data`, `model.onnx_data_1` and so on; in Node, onnxruntime finds files
 * of any name.
 */
async function configFiles(encoderFiles: ModelFiles, externalData: readonly string[]): Promise<FolderFile[]> {
  const { 'transformers.js_config': former, ...config } = (await readJsonObject(encoderFiles, 'config.json')) ?? {};
  const count = externalData.filter((name) => /^model\.onnx_data(_\d+)?$/.test(name)).length;
  if (count > 0)
    return [
      jsonFile('config.json', {
        ...config,
        'transformers.js_config': { use_external_data_format: { 'model.onnx': count } },
      }),
    ];
  return former === undefined ? [] : [jsonFile('config.json', config)];
}

/** The `self-check.json` of a model, if it can have one; see `selfCheckContent`. */
export async function selfCheckFiles({ model, tokenizer, encoder }: Embedder): Promise<FolderFile[]> {
  const { encoderFiles, addSpecialTokens } = await readModelFolder(model);
  const { maxPositions } = encoder;
  const content = await selfCheckContent(encoderFiles, tokenizer, { addSpecialTokens, maxPositions });
  return content === undefined ? [] : [[selfCheckFile, content]];
}
