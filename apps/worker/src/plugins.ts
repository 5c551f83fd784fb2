// Loads the plugins of a worker: modules with poolings and workflows.
import { pathToFileURL } from 'node:url';
import { isAbsolute } from 'node:path';
import { SentvecError, type Embedder, type PoolingPlugin } from '@sentvec/core';
import { describeThrown, type Access, type AnyWorkflow, type Logger } from '@sentvec/workflow';

/** What a plugin may use of its worker. */
export interface PluginTools {
  /** The loaded embedder of a model. Only models that the worker allows. */
  readonly embedder: (model: string) => Promise<Embedder>;
  /** What jobs may use. A workflow must check each path that comes from a job before it opens it. */
  readonly access: Access;
  readonly logger: Logger;
}

/** A pooling or a workflow. */
export type PluginPart = PoolingPlugin | AnyWorkflow;

/**
 * What a plugin module exports as its default: a pooling (`definePooling`), a workflow (`defineWorkflow`), a list of
 * those, or a function from {@link PluginTools} to them, which may be asynchronous.
 */
export type Plugin = OneOrMoreParts | ((tools: PluginTools) => OneOrMoreParts | Promise<OneOrMoreParts>);

type OneOrMoreParts = PluginPart | readonly PluginPart[];

/** The parts of all plugins of a worker. */
export interface PluginParts {
  readonly poolings: readonly PoolingPlugin[];
  readonly workflows: readonly AnyWorkflow[];
}

/**
 * Loads plugins by module path or package name. They are trusted: whoever starts the worker chooses them.
 *
 * @throws SentvecError `invalid-argument` for a module that cannot be loaded or exports something else
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

/** What the code of a plugin gives. @throws SentvecError `invalid-argument` when it throws anything else */
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
  const message = `The plugin ${module} must export a pooling (definePooling), a workflow (defineWorkflow), or a list of those, as its default.`;
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
