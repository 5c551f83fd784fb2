// Checks that broken models are refused, and that loading leaves no memory behind.
import { memoryModel, readJsonObject, type ModelFiles } from '@sentvec/core';
import { expectError, fail, type BackendCheck, type BackendUnderTest } from './check.ts';
import { largeModel, largeModelSize } from './large-model.ts';
import { padded } from './token-batches.ts';

const measurements = 4;

/** Models that cannot be loaded, and one that is loaded again and again. */
export function loadingChecks({
  backend,
  goldens,
  effort,
  memoryInUse,
  withEncoder,
}: BackendUnderTest): BackendCheck[] {
  const { loadsBefore, loadsBetween } = effort;
  const tiny = (): ModelFiles => goldens.model('tiny-bert');
  const refuse = async (what: string, files: ModelFiles, ...codes: readonly string[]): Promise<void> => {
    const error = await expectError(`Loading ${what}`, backend.load(files), ...codes);
    if (!error.message.includes(files.name)) fail(`The error for ${what} does not name the model: ${error.message}`);
  };

  return [
    {
      name: 'a model whose weights do not fit its configuration is refused',
      run: async () => {
        const config = await readJsonObject(tiny(), 'config.json');
        await refuse(
          'a model of another width',
          await changed(tiny(), { 'config.json': { ...config, hidden_size: 64 } }),
          'invalid-model',
        );
        await refuse(
          'a model of more layers',
          await changed(tiny(), { 'config.json': { ...config, num_hidden_layers: 9 } }),
          'invalid-model',
        );
      },
    },
    {
      name: 'a model of an unknown architecture is refused',
      run: async () => {
        const config = { ...(await readJsonObject(tiny(), 'config.json')), model_type: 'no-such-architecture' };
        await refuse('an unknown architecture', await changed(tiny(), { 'config.json': config }), 'unsupported-model');
      },
    },
    {
      name: 'a model without weights, or with broken ones, is refused',
      run: async () => {
        const weights = await tiny().read('model.safetensors');
        await refuse(
          'a model without weights',
          await changed(tiny(), { 'model.safetensors': undefined }),
          'invalid-model',
        );
        await refuse(
          'weights that were cut short',
          await changed(tiny(), { 'model.safetensors': weights.slice(0, weights.length / 2) }),
          'invalid-model',
        );
        await withEncoder(tiny(), async (encoder) => encoder.encode(padded([[2, 3]])));
      },
    },
    {
      name: 'loading again and again does not fill the memory',
      run: async () => {
        if (memoryInUse === undefined)
          fail('It is not known how much memory is in use here: pass `memoryInUse`, or skip this check with a reason.');
        const files = largeModel();
        const load = async (): Promise<void> => {
          const encoder = await backend.load(files);
          await encoder.encode(padded([[2, 4, 3]]));
          await encoder.dispose();
        };
        for (let count = 0; count < loadsBefore; count += 1) await load();
        const allowed = (loadsBetween * largeModelSize) / 2;
        const growths: number[] = [];
        // A leak grows at every measurement; memory that has not been collected yet does not.
        for (let measured = 0; measured < measurements; measured += 1) {
          const before = await memoryInUse();
          for (let count = 0; count < loadsBetween; count += 1) await load();
          growths.push((await memoryInUse()) - before);
          if (growths.at(-1)! <= allowed) return;
        }
        fail(
          `${loadsBetween} loads of ${largeModelSize} bytes left ${growths.join(', then ')} bytes behind; ${allowed} are allowed.`,
        );
      },
    },
  ];
}

/** A copy in memory with some files replaced, as bytes or as JSON, or taken away. */
async function changed(files: ModelFiles, changes: Readonly<Record<string, unknown>>): Promise<ModelFiles> {
  const contents: Record<string, Uint8Array | string> = {};
  for (const path of await files.list()) contents[path] = await files.read(path);
  for (const [path, content] of Object.entries(changes)) {
    if (content === undefined) delete contents[path];
    else contents[path] = content instanceof Uint8Array ? content : JSON.stringify(content);
  }
  return memoryModel('changed-model', contents);
}
