// Each package says where it lives when it is packed. The addresses stand once, in the package.json of the root.
const path = require('node:path');
const { homepage, repository } = require('./package.json');

function beforePacking(manifest, folder) {
  if (homepage !== '') manifest.homepage = homepage;
  if (repository !== '') {
    manifest.repository = { type: 'git', url: `git+${repository}.git`, directory: path.relative(__dirname, folder) };
    manifest.bugs = `${repository}/issues`;
  }
  return manifest;
}

module.exports = { hooks: { beforePacking } };
