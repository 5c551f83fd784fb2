// Generates the API reference from the docstrings, with one page for each importable path.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Converter, ReflectionKind } from 'typedoc';
import { ModuleRouter } from 'typedoc-plugin-markdown';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Returns the entry points of a package: `name`, the import path, and `source`, the source file. */
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

/** Names modules by their import paths; typedoc names them by their file paths. */
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
 * Writes pages for modules only, because the page of the interface `Head` in @sentvec/core would collide with that of
 * the module @sentvec/core/head.
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
  useHTMLAnchors: true, // VitePress numbers duplicate ids differently than typedoc does in its links.
  hidePageHeader: true,
  hideBreadcrumbs: true,
  readme: 'none',
  excludeInternal: true,
  excludeExternals: true,
  skipErrorChecking: true,
  // Source links need a repository URL, which does not exist yet.
  disableSources: true,
};
