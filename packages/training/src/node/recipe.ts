// What decides the numbers of a run, part by part: a checkpoint belongs to one recipe.
import { createHash } from 'node:crypto';
import { canonicalJson } from '@sentvec/platform';
import type { TrainingSet } from '../data/training-set.ts';
import { fixedTensors, trainableTensors } from '../step/record-step.ts';
import type { TrainingConfig } from './config.ts';
import type { LoadedTrainable } from './load-trainable.ts';

/**
 * The parts of a run under readable names, each with a hash of its content or its value. Files count by
 * what was read of them, models by their weights and tokenizer; their names do not matter, nor where the result goes,
 * how often it is saved, and whether divergence is watched for.
 */
export type Recipe = Readonly<Record<string, string>>;

/** @param judged what the evaluation reads, as it was read */
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

/** Of weights, tokenizer, and whatever else of the folder decides what they compute. */
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

/** Of values one after the other, without one text that holds all of them. */
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
