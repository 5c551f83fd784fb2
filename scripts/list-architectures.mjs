// Lists the architectures in the registry, models that use them, and how each is tested with golden models. Prints a
// page: after a build, run `node scripts/list-architectures.mjs > docs/architectures.md`. A workspace test checks that
// the page is current.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { modelTypes } from '../packages/architectures/dist/index.js';
import { root } from './pnpm.mjs';

const jinaV2 = ['jina-embeddings-v2-small-en', 'jina-embeddings-v2-base-en', '-de', '-es', '-zh', '-code'];

/** For each `model_type`: the common name of the architecture, and models that use it. */
const known = {
  albert: ['ALBERT', ['paraphrase-albert-small-v2']],
  bert: [
    'BERT; JinaBERT v2 with `position_embedding_type: alibi`',
    [
      'all-MiniLM-L6-v2, -L12-v2',
      'multi-qa-MiniLM-*',
      'LaBSE',
      'bge-*-en-v1.5, -zh-v1.5',
      'e5-*-v2',
      'multilingual-e5-small',
      'gte-small, -base, -large',
      'mxbai-embed-large-v1',
      'snowflake-arctic-embed-xs, -s, -m, -l',
      ...jinaV2,
    ],
  ],
  bidirectional_pplx_qwen3: ['Qwen3, bidirectional', ['pplx-embed-v1-*']],
  camembert: ['CamemBERT', ['sentence-camembert-*']],
  'data2vec-text': ['data2vec', []],
  'deberta-v2': ['DeBERTa v2 and v3', ['deberta-v3-*', 'mdeberta-v3-base']],
  distilbert: [
    'DistilBERT',
    ['multi-qa-distilbert-*', 'msmarco-distilbert-*', 'distiluse-base-multilingual-cased-v1, -v2'],
  ],
  electra: ['ELECTRA', []],
  ernie: ['ERNIE', ['ernie-3.0-*-zh']],
  eurobert: ['EuroBERT', ['EuroBERT-*', 'jina-embeddings-v5-text-nano']],
  gemma3_text: ['Gemma 3, causal and bidirectional', ['embeddinggemma-300m']],
  gte: ['GTE "new"', ['snowflake-arctic-embed-m-v2.0']],
  jina_embeddings_v3: ['Jina v3, with task adapters', ['jina-embeddings-v3']],
  lfm2: ['LFM2', ['LFM2-*']],
  llama: ['Llama', []],
  llama_bidirec: ['Llama, bidirectional', ['llama-embed-nemotron-8b']],
  'megatron-bert': ['MegatronBERT', []],
  mistral: ['Mistral', ['e5-mistral-7b-instruct', 'SFR-Embedding-2_R', 'Linq-Embed-Mistral']],
  modernbert: [
    'ModernBERT',
    ['gte-modernbert-base', 'modernbert-embed-base', 'granite-embedding-english-r2', 'models on mmBERT and Ettin'],
  ],
  mpnet: ['MPNet', ['all-mpnet-base-v2', 'multi-qa-mpnet-*', 'paraphrase-mpnet-base-v2']],
  mt5: ['mT5, the encoder', []],
  new: ['GTE "new"', ['gte-base-en-v1.5, -large-en-v1.5', 'gte-multilingual-base', 'stella_en_400M_v5']],
  nomic_bert: [
    'NomicBERT, including the mixture of experts of v2',
    ['nomic-embed-text-v1, v1.5', 'nomic-embed-text-v2-moe', 'CodeRankEmbed', 'snowflake-arctic-embed-m-long'],
  ],
  qwen2: ['Qwen2', ['gte-Qwen2-*-instruct', 'KaLM-embedding-*']],
  qwen3: ['Qwen3', ['Qwen3-Embedding-0.6B, -4B, -8B', 'jina-embeddings-v5-text-small', 'F2LLM-*']],
  roberta: ['RoBERTa', ['all-distilroberta-v1', 'granite-embedding-30m-english, -125m-english']],
  roformer: ['RoFormer', []],
  squeezebert: ['SqueezeBERT', []],
  'static-embedding': ['static table of token vectors', ['static-retrieval-mrl-en-v1', 'potion-* (model2vec)']],
  t5: ['T5, the encoder', ['gtr-t5-*', 'sentence-t5-*']],
  umt5: ['UMT5, the encoder', []],
  'universal-sentence-encoder-lite': ['Universal Sentence Encoder Lite', ['use-lite, the default model']],
  'xlm-roberta': [
    'XLM-RoBERTa',
    [
      'paraphrase-multilingual-mpnet-base-v2',
      'multilingual-e5-base, -large, -large-instruct',
      'bge-m3 (its dense vectors)',
      'snowflake-arctic-embed-l-v2.0',
      'granite-embedding-107m-multilingual, -278m-multilingual',
    ],
  ],
  'xlm-roberta-xl': ['XLM-RoBERTa-XL', []],
};

const surplus = Object.keys(known).filter((type) => !modelTypes.includes(type));
const missing = modelTypes.filter((type) => !Object.hasOwn(known, type));
if (surplus.length + missing.length > 0)
  throw new Error(
    `scripts/list-architectures.mjs is out of date: add ${missing.join(', ')}; remove ${surplus.join(', ')}.`,
  );

const goldens = join(root, 'packages/testing/goldens');
const steps = JSON.parse(readFileSync(join(goldens, 'gradients.json'), 'utf8')).models;

/** The golden models, by `model_type`. */
const models = new Map();
for (const name of readdirSync(join(goldens, 'models'))) {
  for (const file of ['config.json', '0_Transformer/config.json']) {
    const path = join(goldens, 'models', name, file);
    const type = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).model_type : undefined;
    if (type !== undefined) models.set(type, [...(models.get(type) ?? []), name]);
  }
}

function row(type) {
  const [title, used] = known[type];
  const golden = models.get(type) ?? [];
  const values = golden.length > 0 ? 'values' : 'read';
  const trained = golden.some((name) => Object.hasOwn(steps, name)) ? 'values' : 'yes';
  return [`\`${type}\``, title, used.join(', ').replaceAll('*', '…'), values, trained];
}

function table(head, rows) {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((cells) => cells[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

console.log(`# Architectures

The architecture of a model is the \`model_type\` in its \`config.json\`. All backends load the following architectures from \`model.safetensors\`, in one file or in shards. This page is generated from the registry.

${table(['`model_type`', 'architecture', 'models that use it', 'from weights', 'fine-tuning'], modelTypes.map(row))}

- **From weights**: \`values\` means that the tests compare token and sentence embeddings of a golden model of this \`model_type\` with those of transformers; \`read\` means that it is another name for an architecture that is tested in this way.
- **Fine-tuning**: \`values\` means that the tests compare the loss and all gradients of a training step with those of PyTorch; \`yes\` means that training uses the same operations, whose gradients are tested one by one.
- **From ONNX**: a folder with \`onnx/model.onnx\` runs on onnxruntime and in browsers with any architecture, if its inputs are \`input_ids\`, \`attention_mask\`, \`token_type_ids\`, \`position_ids\` or empty \`past_key_values\`. It cannot be fine-tuned, and TensorFlow.js cannot run it. \`sentvec export\` writes such a file for every architecture above.

## What is not there

- EmbeddingGemma 2 (\`embedding_gemma2\`), Gemma 2, Phi, GPT-2, GPT-NeoX, BLOOM, Longformer, BigBird, XLNet, XLM, Funnel, Nyströmformer, and the text towers of CLIP and SigLIP: not supported; the error names the most similar supported architecture. If the folder has \`onnx/model.onnx\`, it can be used nevertheless.
- Models of images, sound and video.
- Folders with custom code (\`trust_remote_code\`): the code of a model is never executed. If its architecture is listed above, the model is loaded without that code.
- \`pytorch_model.bin\`: not supported; the error contains the command that converts it.

To add an architecture, add one file and one line in the registry, as described in \`CONTRIBUTING.md\` of the repository.`);
