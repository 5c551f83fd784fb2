/**
 * Reads Router modules of sentence-transformers (called Asym before version 5), which pass a text through one of
 * several routes.
 */
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { type ConfigFile, readConfigFile, requireConfigFile } from './config-file.ts';
import { joinModelPath } from './model-files.ts';
import { filePath, lastSegment, readModules, type ModelModule } from './modules.ts';

/** The modules of one route. */
export interface RoutedModules {
  readonly modules: readonly ModelModule[];
  /** The chosen route; `undefined` for a model without routes. */
  readonly route: string | undefined;
  /** The names of all routes. */
  readonly routes: readonly string[];
  /** Assumptions that were made, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Replaces a Router by the modules of one of its routes.
 * @param task name of a route, or a task (`query`, `document`) that the Router maps to a route
 * @throws SentvecError `invalid-argument` when there is no such route, or when the Router has no default route;
 * `invalid-model` when the Router's config is broken
 */
export async function followRoute(
  files: ModelFiles,
  modules: readonly ModelModule[],
  task: string | undefined,
): Promise<RoutedModules> {
  const router = await readRouter(files, modules);
  if (router === undefined) {
    checkNoRoute(files, task);
    return { modules, route: undefined, routes: [], notes: [] };
  }
  const { config, routes } = router;
  const route = chooseRoute(files.name, config, routes, task);
  const others = routes.filter((each) => each !== route);
  return {
    modules: router.modulesOf(route),
    route,
    routes,
    notes:
      task === undefined && others.length > 0
        ? [
            `The model's default route "${route}" is used. It also has ${quoted(others)}; set "as" or "route" to choose one.`,
          ]
        : [],
  };
}

/**
 * The modules of each route of a model, in order, by the name of the route.
 * @returns `undefined` for a model without routes
 * @throws SentvecError `invalid-model`
 */
export async function readRoutes(
  files: ModelFiles,
): Promise<Readonly<Record<string, readonly ModelModule[]>> | undefined> {
  const router = await readRouter(files, (await readModules(files)) ?? []);
  return router && Object.fromEntries(router.routes.map((route) => [route, router.modulesOf(route)]));
}

/** Reads the configuration of a Router, the names of its routes, and the modules of each route. */
async function readRouter(files: ModelFiles, modules: readonly ModelModule[]) {
  const at = modules.findIndex(isRouter);
  const router = modules[at];
  if (router === undefined) return undefined;
  const config =
    (await readConfigFile(files, filePath(router.path, 'router_config.json'))) ??
    (await requireConfigFile(files, filePath(router.path, 'config.json')));
  const structure = config.required('structure', config.object('structure'));
  return {
    config,
    routes: Object.keys(structure.values),
    modulesOf: (route: string): ModelModule[] => [
      ...modules.slice(0, at),
      ...modulesOf(config, structure, route, router),
      ...modules.slice(at + 1),
    ],
  };
}

/** Whether a module is a Router. */
export function isRouter({ kind }: Pick<ModelModule, 'kind'>): boolean {
  return kind === 'Router' || kind === 'Asym';
}

/** Whether a model has routes. @throws SentvecError `invalid-model` */
export async function hasRouter(files: ModelFiles): Promise<boolean> {
  return (await readModules(files))?.some(isRouter) ?? false;
}

/** @throws SentvecError `invalid-argument` when a route is given for a model without routes */
export function checkNoRoute({ name }: ModelFiles, route: string | undefined): void {
  if (route === undefined) return;
  throw new SentvecError('invalid-argument', `${name} has no routes: leave out "route", which is "${route}".`);
}

/**
 * Chooses a route with the same precedence as `Router` of sentence-transformers 6.1 (base/modules/router.py) has for
 * texts.
 */
function chooseRoute(name: string, config: ConfigFile, routes: readonly string[], task: string | undefined): string {
  const parameters = config.object('parameters');
  const mapped = mappedRoute(parameters?.object('route_mappings'), task);
  const own = [task, 'text'].find((each) => each !== undefined && routes.includes(each));
  const first = (parameters?.boolean('allow_empty_key') ?? true) ? routes[0] : undefined;
  const route = mapped ?? own ?? (task === undefined ? (parameters?.string('default_route') ?? first) : undefined);
  if (route === undefined) {
    const problem = task === undefined ? 'has no default route' : `has no route for "${task}"`;
    throw new SentvecError('invalid-argument', `${name} ${problem}: set "route" to one of ${quoted(routes)}.`, {
      routes,
    });
  }
  if (routes.includes(route)) return route;
  throw new SentvecError('invalid-model', `${config.file} refers to the route "${route}", which it does not have.`, {
    file: config.file,
  });
}

/**
 * Looks up a task in `route_mappings`. Its keys are Python tuples of task and modality, such as `('query', 'text')` or
 * `(None, 'text')`.
 */
function mappedRoute(mappings: ConfigFile | undefined, task: string | undefined): string | undefined {
  if (mappings === undefined) return undefined;
  const plain = (key: string): string => key.replaceAll(/\s/g, '').replaceAll('"', "'");
  const keys = new Map(Object.keys(mappings.values).map((key) => [plain(key), key]));
  const named = task === undefined ? [] : [`('${task}','text')`, `('${task}',None)`];
  const key = [...named, "(None,'text')", '(None,None)'].find((each) => keys.has(each));
  return key === undefined ? undefined : mappings.string(keys.get(key)!);
}

function modulesOf(config: ConfigFile, structure: ConfigFile, route: string, router: ModelModule): ModelModule[] {
  const types = config.required('types', config.object('types'));
  const names = structure.values[route];
  if (!Array.isArray(names) || names.length === 0 || !names.every((name) => typeof name === 'string'))
    throw new SentvecError('invalid-model', `${config.file} must have a list of modules for the route "${route}".`, {
      file: config.file,
    });
  return names.map((name: string) => {
    const type = types.required(name, types.string(name));
    return { kind: lastSegment(type), type, path: joinModelPath(router.path, name, config.file) };
  });
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
