// From a model's name to its files: in the package of the default model, in a local folder, in a bucket, or on the hub.
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
/** It depends on this package, which knows it by name only. */
const defaultModelPackage: string = '@sentvec/model-use-lite';

/** Where models without an organization are looked for first, as in sentence-transformers. */
const defaultOrganization = 'sentence-transformers';

/**
 * Finds a model by what a person calls it: `use-lite`, a folder that exists, a folder in a store (`s3://bucket/model`,
 * `gs://…`, `az://…`), else a repository of the Hugging Face hub, from its cache or downloaded: `org/name`, or a bare name,
 * which is looked for among those of sentence-transformers first.
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
      `There is no model folder ${name}. Check the path, or name a model of the Hugging Face hub as "organization/name".`,
      { file: name },
    );
  return name.includes('/') ? hubModel(name, options) : openBareName(name, options);
}

/**
 * The base model that the card or the adapter of a local folder names. It is looked for on this disk only: a local
 * folder causes no request to the hub.
 */
function baseOfFolder(name: string, options: OpenModelOptions): Promise<ModelFiles> {
  if (name === defaultModel || isAbsolute(name)) return openModel(name, options);
  return hubModel(name, { ...options, offline: true });
}

/** A model folder in a store. Its base model, if it names one, is looked for on this disk, as for a local folder. */
async function openAddress(address: string, options: OpenModelOptions): Promise<ModelFiles> {
  const [{ isBucketUri, locateFile }, { storedModel }] = await Promise.all([
    import('@sentvec/storage'),
    import('./stored-model.ts'),
  ]);
  locateFile(address); // Refuses what no store has, and what holds a secret, before it is repeated in a message.
  const refused = (problem: string): SentvecError =>
    new SentvecError('invalid-argument', `${address} ${problem}`, { file: address });
  if (!isBucketUri(address)) {
    const remedy =
      'Name a folder of this machine, s3://bucket/folder, gs://…, az://…, or "organization/name" on the hub.';
    throw refused(`cannot be a model: it is in no store of objects. ${remedy}`);
  }
  if (options.revision !== undefined) throw refused('has no revisions: leave out the revision.');
  if (options.offline) throw refused('must be reached to be loaded: leave out `offline`, or copy the folder here.');
  return storedModel(address, options, (other) => hubModel(other, { ...options, offline: true }));
}

async function openDefaultModel({ signal }: OpenModelOptions): Promise<ModelFiles> {
  let library: { useLite(options: { readonly signal?: AbortSignal | undefined }): Promise<ModelFiles> };
  try {
    library = (await import(/* webpackIgnore: true */ /* @vite-ignore */ defaultModelPackage)) as typeof library;
  } catch (cause) {
    const message = `The model ${defaultModel} is in a package of its own. Install it: npm install ${defaultModelPackage}. In a bundle, import useLite from there and pass loadEmbedder(await useLite()).`;
    throw new SentvecError('missing-dependency', message, {}, { cause });
  }
  return library.useLite({ signal });
}

async function openBareName(name: string, options: OpenModelOptions): Promise<ModelFiles> {
  const inOrganization = `${defaultOrganization}/${name}`;
  try {
    return await hubModel(inOrganization, options);
  } catch (error) {
    // For a model that does not exist, the hub answers that it needs a login.
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
