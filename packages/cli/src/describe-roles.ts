// Describes for `sentvec info` how a model treats queries and documents, and its routes and tasks.
import type { ModelFiles, RoleDescription } from '@sentvec/core';

/** A route of a model with a Router. */
export interface RouteDescription {
  readonly route: string;
  readonly encoder: string | null;
  readonly hiddenSize: number | null;
  readonly pooling: string;
  readonly projections: readonly string[];
}

/** The prompts, routes and tasks of a model for queries and documents. JSON. */
export interface RoleFacts {
  readonly queries: RoleDescription;
  readonly documents: RoleDescription;
  readonly routes: readonly RouteDescription[];
  /** The dimension that the model truncates vectors to; `null` if it does not truncate. */
  readonly truncateDim: number | null;
}

/** @param route the route that the other facts describe, for a model with a Router */
export async function describeRoles(model: ModelFiles, route: string | undefined): Promise<RoleFacts> {
  const { describeRole, readModelFolder } = await import('@sentvec/core');
  const [queries, documents] = await Promise.all([describeRole(model, 'query'), describeRole(model, 'document')]);
  const { routes = [], truncateDim = null } = await readModelFolder(model, { route });
  return {
    queries,
    documents,
    truncateDim,
    routes: await Promise.all(routes.map((each) => describeRoute(model, each))),
  };
}

async function describeRoute(model: ModelFiles, route: string): Promise<RouteDescription> {
  const { readJsonObject, readModelFolder } = await import('@sentvec/core');
  const { encoder, encoderFiles, hiddenSize, head } = await readModelFolder(model, { route });
  const config = encoder === 'static' ? undefined : await readJsonObject(encoderFiles, 'config.json');
  const type = encoder === 'static' ? 'static embeddings' : config?.['model_type'];
  return {
    route,
    encoder: typeof type === 'string' ? type : null,
    hiddenSize: hiddenSize ?? null,
    pooling: head.pooling.name,
    projections: head.projections.map(({ kind }) => kind),
  };
}

/** The rows of the printed table. */
export function roleRows({
  queries,
  documents,
  routes,
  route,
}: Omit<RoleFacts, 'truncateDim'> & { readonly route: string | null }): [string, string][] {
  const ofRoute = ({ route: name, encoder, hiddenSize, pooling, projections }: RouteDescription): string => {
    const parts = [
      encoder ?? 'unnamed',
      ...(hiddenSize === null ? [] : [`${hiddenSize} wide`]),
      pooling,
      ...projections,
    ];
    return `${name}${name === route ? ' (default)' : ''}: ${parts.join(', ')}`;
  };
  return [
    ...(routes.length === 0 ? [] : [['routes', routes.map(ofRoute).join('; ')] as [string, string]]),
    ['queries', ofRole(queries)],
    ['documents', ofRole(documents)],
  ];
}

function ofRole({ prompt, route, task, note }: RoleDescription): string {
  const has = [
    ...(prompt === '' ? [] : [`after ${JSON.stringify(prompt)}`]),
    ...(route === undefined ? [] : [`by the route ${route}`]),
    ...(task === undefined ? [] : [`with the adapter of ${task}`]),
  ];
  return [has.join(', ') || 'as they are', ...(note === undefined ? [] : [note])].join('. ');
}
