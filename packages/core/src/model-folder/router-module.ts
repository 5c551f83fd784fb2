/** Modules that send a text through one of several routes: Router of sentence-transformers, and Asym before version 5. */
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { type ConfigFile, readConfigFile, requireConfigFile } from './config-file.ts';
import { joinModelPath } from './model-files.ts';
import { filePath, lastSegment, readModules, type ModelModule } from './modules.ts';

/** The modules that a text passes through, in order. */
export interface RoutedModules {
  readonly modules: readonly ModelModule[];
  /** The route that was taken; `undefined` for a model without routes. */
  readonly route: string | undefined;
  /** All routes that the model has. */
  readonly routes: readonly string[];
  /** What was decided on the user's behalf, in sentences. */
  readonly notes: readonly string[];
}

/**
 * Puts the modules of one route in the place of a Router.
 * @param task the route that is asked for, or a task that the Router maps to one: `query`, `document`
 * @throws SentvecError `invalid-argument` when there is no such route, or when one must be named;
 * `invalid-model` when the Router's file is broken
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
        ? [`Texts take the route "${route}" of the model, which also has ${quoted(others)}: "as" or "route" chooses.`]
        : [],
  };
}

/**
 * The modules that texts pass through on each route of a model, in order, by the name of the route.
 * @returns `undefined` for a model without routes
 * @throws SentvecError `invalid-model`
 */
export async function readRoutes(
  files: ModelFiles,
): Promise<Readonly<Record<string, readonly ModelModule[]>> | undefined> {
  const router = await readRouter(files, (await readModules(files)) ?? []);
  return router && Object.fromEntries(router.routes.map((route) => [route, router.modulesOf(route)]));
}

/** The configuration of a Router, the names of its routes, and all modules of a route. */
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

/** Whether a module chooses among routes. */
export function isRouter({ kind }: Pick<ModelModule, 'kind'>): boolean {
  return kind === 'Router' || kind === 'Asym';
}

/** Whether a model has routes. @throws SentvecError `invalid-model` */
export async function hasRouter(files: ModelFiles): Promise<boolean> {
  return (await readModules(files))?.some(isRouter) ?? false;
}

/** @throws SentvecError `invalid-argument` when a route of a model without routes is asked for */
export function checkNoRoute({ name }: ModelFiles, route: string | undefined): void {
  if (route === undefined) return;
  throw new SentvecError('invalid-argument', `${name} has no routes: leave out "route", which is "${route}".`);
}

/** In the order of `Router` of sentence-transformers 6.1 (base/modules/router.py), for texts. */
function chooseRoute(name: string, config: ConfigFile, routes: readonly string[], task: string | undefined): string {
  const parameters = config.object('parameters');
  const mapped = mappedRoute(parameters?.object('route_mappings'), task);
  const own = [task, 'text'].find((each) => each !== undefined && routes.includes(each));
  const first = (parameters?.boolean('allow_empty_key') ?? true) ? routes[0] : undefined;
  const route = mapped ?? own ?? (task === undefined ? (parameters?.string('default_route') ?? first) : undefined);
  if (route === undefined) {
    const wanted = task === undefined ? 'takes texts by a route only' : `has no route for "${task}"`;
    throw new SentvecError('invalid-argument', `${name} ${wanted}: give one of ${quoted(routes)} as "route".`, {
      routes,
    });
  }
  if (routes.includes(route)) return route;
  throw new SentvecError('invalid-model', `${config.file} leads to the route "${route}", which it does not have.`, {
    file: config.file,
  });
}

/** Keys are pairs of task and modality as Python prints them: `('query', 'text')`, `(None, 'text')`. */
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
