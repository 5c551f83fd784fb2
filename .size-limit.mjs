// How large the browser's part of a page may be, minified and compressed.

/**
 * Leaves out what a page that embeds with a BERT model never loads: the other architectures, and all that core loads only
 * when it is needed (other kinds of models, what the tokenizers of other models have, adapters, chat templates, the
 * reader of model cards, texts in pieces, prompts that folders forget).
 */
const whatIsLoaded = {
  name: 'what is loaded',
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ kind, path, importer }) => {
      if (kind !== 'dynamic-import') return undefined;
      const isOfOtherModels =
        importer.includes('/core/dist/') || (importer.endsWith('/encoders/registry.js') && path !== './bert.js');
      return isOfOtherModels ? { path, external: true } : undefined;
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
