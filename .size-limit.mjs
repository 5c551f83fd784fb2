// How large the browser's part of a page may be, minified and compressed.

/**
 * Leaves out what a page of a BERT model never loads: the other architectures, what the tokenizers of other
 * models have, and the YAML reader of model cards, which folders without modules.json need.
 */
const whatIsLoaded = {
  name: 'what is loaded',
  setup({ onResolve }) {
    onResolve({ filter: /^yaml$|[.]js$/ }, ({ kind, path, importer }) => {
      const isOfOtherModels =
        path === 'yaml' ||
        importer.includes('/core/dist/tokenizer/') ||
        (importer.endsWith('/encoders/registry.js') && path !== './bert.js');
      return kind === 'dynamic-import' && isOfOtherModels ? { path, external: true } : undefined;
    });
  },
};

const modifyEsbuildConfig = (config) => ({ ...config, plugins: [...(config.plugins ?? []), whatIsLoaded] });

export default [
  {
    name: 'core in a browser, without the hub client',
    path: 'packages/core/dist/index.js',
    import: '{ loadEmbedder, semanticSearch }',
    limit: '60 kB',
    modifyEsbuildConfig,
  },
  {
    name: 'a page with webgpu() and a BERT model, everything but the WebAssembly and the weights',
    path: ['packages/core/dist/index.js', 'packages/backend-webgpu/dist/index.js'],
    import: {
      'packages/core/dist/index.js': '{ loadEmbedder, pairwiseSimilarity, urlModel }',
      'packages/backend-webgpu/dist/index.js': '{ webgpu }',
    },
    limit: '115 kB',
    modifyEsbuildConfig,
  },
];
