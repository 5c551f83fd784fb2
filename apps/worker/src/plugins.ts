// Loads the plugins of a worker, which are modules with poolings and workflows.
import { pathToFileURL } from 'node:url';
import { isAbsolute } from 'node:path';
import { SentvecError, type Embedder, type PoolingPlugin } from '@sentvec/core';
import { describeThrown, type Access, type AnyWorkflow, type Logger } from '@sentvec/workflow';

/** The parts of the worker that a plugin may use. */
export interface PluginTools {
  /** Loads the embedder of a model. The worker must allow the model. */
  readonly embedder: (model: string) => Promise<Embedder>;
  /** Checks what jobs may use. A workflow must check each path from a job before opening it. */
  readonly access: Access;
  readonly logger: Logger;
}

/** A pooling or a workflow. */
export type PluginPart = PoolingPlugin | AnyWorkflow;

/**
 * The default export of a plugin module: a pooling (`definePooling`), a workflow (`defineWorkflow`), an array of these,
 * or a function that receives {@link PluginTools} and returns them or a promise of them.
 */
export type Plugin = OneOrMoreParts | ((tools: PluginTools) => OneOrMoreParts | Promise<OneOrMoreParts>);

type OneOrMoreParts = PluginPart | readonly PluginPart[];

/** The parts of all plugins of a worker. */
export interface PluginParts {
  readonly poolings: readonly PoolingPlugin[];
  readonly workflows: readonly AnyWorkflow[];
}

/**
 * Loads plugins by module path or package name. Their code is trusted, because the person who starts the worker chooses
 * it.
 *
 * @throws SentvecError `invalid-argument` if a module cannot be loaded or its default export has another type
 */
export async function loadPlugins(modules: readonly string[], tools: PluginTools): Promise<PluginParts> {
  const poolings: PoolingPlugin[] = [];
  const workflows: AnyWorkflow[] = [];
  for (const module of modules) {
    for (const part of await partsOf(module, tools)) {
      if (isWorkflow(part)) workflows.push(part);
      else if (isPooling(part)) poolings.push(part);
      else throw pluginError(module);
    }
  }
  return { poolings, workflows };
}

async function partsOf(module: string, tools: PluginTools): Promise<readonly unknown[]> {
  const plugin = await importDefault(module);
  const parts = await loading(module, async (): Promise<unknown> =>
    typeof plugin === 'function' ? plugin(tools) : plugin,
  );
  return Array.isArray(parts) ? parts : [parts];
}

async function importDefault(module: string): Promise<unknown> {
  const exports = await loading(
    module,
    async () =>
      (await import(isAbsolute(module) ? pathToFileURL(module).href : module)) as { readonly default?: unknown },
  );
  if (exports.default === undefined) throw pluginError(module);
  return exports.default;
}

/**
 * Runs code of a plugin.
 * @throws SentvecError `invalid-argument` if the code throws an error that is not a SentvecError
 */
async function loading<T>(module: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (SentvecError.is(cause)) throw cause;
    const message = `The plugin ${module} cannot be loaded: ${describeThrown(cause)}.`;
    throw new SentvecError('invalid-argument', message, { file: module }, { cause });
  }
}

function pluginError(module: string): SentvecError {
  const message = `The default export of the plugin ${module} must be a pooling (definePooling), a workflow (defineWorkflow), or an array of these.`;
  return new SentvecError('invalid-argument', message, { file: module });
}

function isWorkflow(part: unknown): part is AnyWorkflow {
  return typeof part === 'object' && part !== null && 'kind' in part && part.kind === 'workflow';
}

function isPooling(part: unknown): part is PoolingPlugin {
  return (
    typeof part === 'object' && part !== null && 'create' in part && 'name' in part && typeof part.create === 'function'
  );
}
