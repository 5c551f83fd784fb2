import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';

const navigation = fileURLToPath(new URL('../reference/navigation.json', import.meta.url));

/** The reference pages that typedoc generates, one for each importable path. */
const reference = existsSync(navigation)
  ? (JSON.parse(readFileSync(navigation, 'utf8')) as { title: string; path: string }[])
  : [];

// WebAssembly threads need SharedArrayBuffer, which browsers allow only in cross-origin isolated pages. The server of
// the built site should send these headers too.
const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

export default defineConfig({
  title: 'sentvec',
  description: 'Sentence transformers for TypeScript, from a browser tab to a cluster of workers',
  cleanUrls: true,
  srcExclude: ['README.md'],
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/guide/getting-started' },
      { text: 'Playground', link: '/playground' },
      ...(reference.length === 0 ? [] : [{ text: 'Reference', link: '/reference/' }]),
    ],
    search: { provider: 'local' },
    outline: [2, 3],
    sidebar: {
      '/guide/': [
        { text: 'Getting started', link: '/guide/getting-started' },
        { text: 'Models', link: '/guide/models' },
        { text: 'Backends', link: '/guide/backends' },
        { text: 'Speed', link: '/guide/speed' },
        { text: 'Quantized models', link: '/guide/quantization' },
        { text: 'In the browser', link: '/guide/browser' },
        { text: 'Bundlers and servers', link: '/guide/bundlers' },
        { text: 'Similarity and search', link: '/guide/search' },
        { text: 'Sparse vectors and BM25', link: '/guide/sparse' },
        { text: 'Late interaction', link: '/guide/late-interaction' },
        { text: 'Rerankers', link: '/guide/rerankers' },
        { text: 'Long texts', link: '/guide/long-texts' },
        { text: 'Embedding corpora', link: '/guide/corpora' },
        { text: 'Queues and workers', link: '/guide/fleet' },
        { text: 'Deploying workers', link: '/guide/deployment' },
        { text: 'Large fleets', link: '/guide/fleet-size' },
        { text: 'Fine-tuning', link: '/guide/fine-tuning' },
        { text: 'Losses', link: '/guide/losses' },
        { text: 'Architectures', link: '/guide/architectures' },
        { text: 'Extending sentvec', link: '/guide/own-parts' },
        { text: 'Errors', link: '/guide/errors' },
      ],
      '/reference/': reference.map(({ title, path }) => ({
        text: title,
        link: `/reference/${path.replace(/\.md$/u, '')}`,
      })),
    },
  },
  vite: {
    // With this condition, onnxruntime-web does not bundle its .wasm and .mjs files; the page passes their URLs as
    // `wasmPaths`.
    resolve: { conditions: ['onnxruntime-web-use-extern-wasm'] },
    build: { assetsInlineLimit: 0, target: 'es2022' },
    server: { headers: isolation },
    preview: { headers: isolation },
  },
});
