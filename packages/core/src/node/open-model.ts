// Finds the files of a model by its name: in the package of the default model, in a local folder, in a bucket, or on
// the hub.
import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { directoryModel } from './directory-model.ts';
import { hubModel, type HubModelOptions } from './hub/hub-model.ts';

/** Options of {@link openModel}: those of the hub. */
export type OpenModelOptions = HubModelOptions;

/** The default model, which comes from npm: no network and no account needed. */
const defaultModel = 'use-lite';
/** Imported dynamically by its name, since that package itself depends on this one. */
const defaultModelPackage: string = '@sentvec/model-use-lite';

/** The organization that is tried first for a bare model name, as in sentence-transformers. */
const defaultOrganization = 'sentence-transformers';

/**
 * Finds the files of a model by its name. The name can be `use-lite`, an existing folder, a folder in object storage
 * (`s3://bucket/model`, `gs://…`, `az://…`), or a repository of the Hugging Face hub (`org/name`), which is downloaded
 * unless it is cached. A bare name is first looked for in the organization `sentence-transformers`.
 * @throws SentvecError `model-not-found`, `missing-dependency` for `use-lite` without `@sentvec/model-use-lite`, and
 * those of `hubModel`
 */
export async function openModel(name: string, options: OpenModelOptions = {}): Promise<ModelFiles> {
  if (name === defaultModel) return openDefaultModel(options);
  if (/^[a-z][a-z0-9+.-]+:\/\//iu.test(name)) return openAddress(name, options);
  const stats = await stat(name).catch(() => undefined);
  if (stats) return { ...(await directoryModel(name)), related: (other) => baseOfFolder(other, options) };
  if (looksLikePath(name))
    throw new SentvecError(
      'model-not-found',
      `There is no model folder ${name}. Check the path, or use "organization/name" for a model on the Hugging Face hub.`,
      { file: name },
    );
  return name.includes('/') ? hubModel(name, options) : openBareName(name, options);
}

/**
 * The base model of a local folder, named by its card or adapter. Only local folders and the hub's cache are searched:
 * loading a local folder makes no request to the hub.
 */
function baseOfFolder(name: string, options: OpenModelOptions): Promise<ModelFiles> {
  if (name === defaultModel || isAbsolute(name)) return openModel(name, options);
  return hubModel(name, { ...options, offline: true });
}

/** A model folder in object storage. As for a local folder, its base model is looked for only in the hub's cache. */
async function openAddress(address: string, options: OpenModelOptions): Promise<ModelFiles> {
  const [{ isBucketUri, locateFile }, { storedModel }] = await Promise.all([
    import('@sentvec/storage'),
    import('./stored-model.ts'),
  ]);
  locateFile(address); // Refuses unknown schemes, and addresses that contain a secret, before a message could repeat the address.
  const refused = (problem: string): SentvecError =>
    new SentvecError('invalid-argument', `${address} ${problem}`, { file: address });
  if (!isBucketUri(address)) {
    const remedy = 'Use a local folder, s3://bucket/folder, gs://…, az://…, or "organization/name" on the hub.';
    throw refused(`cannot be a model: it is not in object storage. ${remedy}`);
  }
  if (options.revision !== undefined) throw refused('has no revisions: leave out the revision.');
  if (options.offline)
    throw refused('cannot be loaded offline: leave out `offline`, or copy the folder to this machine.');
  return storedModel(address, options, (other) => hubModel(other, { ...options, offline: true }));
}

async function openDefaultModel({ signal }: OpenModelOptions): Promise<ModelFiles> {
  let library: { useLite(options: { readonly signal?: AbortSignal | undefined }): Promise<ModelFiles> };
  try {
    library = (await import(/* webpackIgnore: true */ /* @vite-ignore */ defaultModelPackage)) as typeof library;
  } catch (cause) {
    const message = `The model ${defaultModel} is in a separate package. Install it: npm install ${defaultModelPackage}. In a bundle, import useLite from there and pass loadEmbedder(await useLite()).`;
    throw new SentvecError('missing-dependency', message, {}, { cause });
  }
  return library.useLite({ signal });
}

async function openBareName(name: string, options: OpenModelOptions): Promise<ModelFiles> {
  const inOrganization = `${defaultOrganization}/${name}`;
  try {
    return await hubModel(inOrganization, options);
  } catch (error) {
    // For a model that does not exist, the hub may respond that a login is required.
    if (!SentvecError.is(error, 'model-not-found') && !SentvecError.is(error, 'model-access-denied')) throw error;
  }
  try {
    return await hubModel(name, options);
  } catch (error) {
    if (!SentvecError.is(error, 'model-not-found')) throw error;
    throw new SentvecError(error.code, `${error.message} There is no model ${inOrganization} either.`, error.details, {
      cause: error,
    });
  }
}

/** Names on the hub are one or two segments of letters, digits, `-`, `_` and `.`. */
function looksLikePath(name: string): boolean {
  return isAbsolute(name) || /^[.~]/u.test(name) || !/^[\w.-]+(?:\/[\w.-]+)?$/u.test(name);
}
