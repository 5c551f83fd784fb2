// The reference: a page for each path that a program can import, from the docstrings.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Converter, ReflectionKind } from 'typedoc';
import { ModuleRouter } from 'typedoc-plugin-markdown';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The entries of a package: `name` as in an import, and `source`, its file. */
function entriesOf(folder) {
  const { name, private: isPrivate, exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (isPrivate) return [];
  return Object.entries(exports)
    .filter(([, target]) => target.types !== undefined)
    .map(([path, { types }]) => ({
      name: join(name, path),
      source: join(folder, types.replace('./dist/', 'src/').replace('.d.ts', '.ts')),
    }));
}

const entries = ['packages', 'apps']
  .flatMap((parent) => readdirSync(join(root, parent)).map((name) => join(root, parent, name)))
  .filter((folder) => existsSync(join(folder, 'package.json')))
  .flatMap(entriesOf);

/** Modules are called as programs import them; typedoc calls them by the paths of their files. */
function nameByImport(application) {
  application.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      const { packageName, packagePath } = project.getSymbolIdFromReflection(module);
      module.name = entries.find(
        ({ name, source }) => name.startsWith(packageName) && source.endsWith(packagePath),
      ).name;
    }
  });
}

/**
 * Only modules get a page: the page of the interface `Head` in @sentvec/core would collide with that of the module
 * @sentvec/core/head.
 */
class EntryRouter extends ModuleRouter {
  shouldWritePage(reflection) {
    return reflection.kindOf(ReflectionKind.Module);
  }
}

function routeByEntry(application) {
  application.renderer.defineRouter('entry', EntryRouter);
}

export default {
  plugin: ['typedoc-plugin-markdown', nameByImport, routeByEntry],
  name: 'Reference',
  tsconfig: '../../tsconfig.json',
  entryPoints: entries.map(({ source }) => source),
  out: 'reference',
  navigationJson: 'reference/navigation.json',
  router: 'entry',
  entryFileName: 'index',
  excludeScopesInPaths: true,
  useHTMLAnchors: true, // VitePress numbers duplicate ids in another way than typedoc does in its links.
  hidePageHeader: true,
  hideBreadcrumbs: true,
  readme: 'none',
  excludeInternal: true,
  excludeExternals: true,
  skipErrorChecking: true,
  // Sources have an address once there is a repository.
  disableSources: true,
};
