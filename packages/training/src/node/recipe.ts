// The recipe of a run: hashes of everything that its result depends on. A checkpoint can be resumed only with its
// recipe.
import { createHash } from 'node:crypto';
import { canonicalJson } from '@sentvec/platform';
import type { TrainingSet } from '../data/training-set.ts';
import { fixedTensors, trainableTensors } from '../step/record-step.ts';
import type { TrainingConfig } from './config.ts';
import type { LoadedTrainable } from './load-trainable.ts';

/**
 * The inputs of a run under readable names, each with its value or a hash of its content. Data files are hashed by the
 * values read from them, and models by their weights and tokenizer. File names, `output`, `checkpointEvery` and
 * `watchDivergence` are not part of it, because they do not change the result.
 */
export type Recipe = Readonly<Record<string, string>>;

/** Computes the recipe of a run. @param judged the tables of the evaluation */
export async function recipeOf(
  config: TrainingConfig,
  loaded: LoadedTrainable,
  sets: readonly TrainingSet[],
  judged: unknown,
): Promise<Recipe> {
  const { model: _, output: __, checkpointEvery: ___, watchDivergence: ____, data, evaluation, ...settings } = config;
  const recipe: Record<string, string> = { model: await modelHash(loaded) };
  for (const [index, { file: _____, ...rest }] of data.entries()) {
    const { examples, prompts } = sets[index]!;
    const { columns, labels } = examples;
    recipe[`data ${index}`] = hashOf([...columns, labels ? Array.from(labels) : [], prompts ?? []]);
    recipe[`settings of data ${index}`] = canonicalJson(rest);
  }
  if (evaluation !== undefined) {
    const { file: _____, known: ______, ...rest } = evaluation;
    recipe['evaluation'] = hashOf([judged]);
    recipe['settings of the evaluation'] = canonicalJson(rest);
  }
  for (const [name, value] of Object.entries(settings)) if (value !== undefined) recipe[name] = canonicalJson(value);
  return recipe;
}

/** The parts in which two recipes differ. */
export function differingParts(a: Recipe, b: Recipe): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((part) => a[part] !== b[part]);
}

/** Hash of the weights, the tokenizer and the settings of a model that its vectors depend on. */
async function modelHash({
  model,
  folder,
  tokenizerHash,
  routes,
}: Pick<LoadedTrainable, 'model' | 'folder' | 'tokenizerHash' | 'routes'>): Promise<string> {
  if (routes !== undefined) {
    const hashes: string[] = [];
    for (const [route, ofRoute] of Object.entries(routes))
      hashes.push(route, await modelHash({ model: model.routes![route]!.model, folder: ofRoute, tokenizerHash }));
    return hashOf(hashes);
  }
  const hash = createHash('sha256');
  for (const { name, shape, data } of [...trainableTensors(model), ...fixedTensors(model)])
    hash.update(JSON.stringify([name, shape])).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const { pooling, projections } = model.head;
  const kinds = projections.map((projection) =>
    Object.entries(projection).filter(([, value]) => typeof value !== 'object'),
  );
  const isListed = (await folder.encoderFiles.list()).includes('config.json');
  if (isListed) hash.update(await folder.encoderFiles.read('config.json'));
  const { modes, name, includePrompt, config } = pooling;
  const rest = [tokenizerHash, folder.addSpecialTokens, folder.maxLength, modes, name, includePrompt, config, kinds];
  return hash.update(JSON.stringify(rest)).digest('hex');
}

/** Hash of values, computed piece by piece, because a corpus as one string may exceed the maximum string length. */
function hashOf(values: readonly unknown[]): string {
  const hash = createHash('sha256');
  const add = (value: unknown): void => {
    if (!Array.isArray(value)) return void hash.update(`${JSON.stringify(value) ?? 'null'},`);
    hash.update('[');
    for (const entry of value) add(entry);
    hash.update(']');
  };
  for (const value of values) add(value);
  return hash.digest('hex');
}
