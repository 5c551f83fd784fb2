// Lists the architectures that have a line in the registry, the models that are known to use them, and what is shown
// for each by golden models. Prints a page: `node scripts/list-architectures.mjs > docs/architectures.md`, after a
// build. A test of the workspace checks that the page is current.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { modelTypes } from '../packages/architectures/dist/index.js';
import { root } from './pnpm.mjs';

const jinaV2 = ['jina-embeddings-v2-small-en', 'jina-embeddings-v2-base-en', '-de', '-es', '-zh', '-code'];

/** By `model_type`: what people call the architecture, and models that use it. */
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
  jina_embeddings_v3: ['Jina v3, with the adapter of a task', ['jina-embeddings-v3']],
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
    'NomicBERT, with the mixture of experts of v2',
    ['nomic-embed-text-v1, v1.5', 'nomic-embed-text-v2-moe', 'CodeRankEmbed', 'snowflake-arctic-embed-m-long'],
  ],
  qwen2: ['Qwen2', ['gte-Qwen2-*-instruct', 'KaLM-embedding-*']],
  qwen3: ['Qwen3', ['Qwen3-Embedding-0.6B, -4B, -8B', 'jina-embeddings-v5-text-small', 'F2LLM-*']],
  roberta: ['RoBERTa', ['all-distilroberta-v1', 'granite-embedding-30m-english, -125m-english']],
  roformer: ['RoFormer', []],
  squeezebert: ['SqueezeBERT', []],
  'static-embedding': ['a table of token vectors', ['static-retrieval-mrl-en-v1', 'potion-* (model2vec)']],
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
  throw new Error(`scripts/list-architectures.mjs: add ${missing.join(', ')}; take out ${surplus.join(', ')}.`);

const goldens = join(root, 'packages/testing/goldens');
const steps = JSON.parse(readFileSync(join(goldens, 'gradients.json'), 'utf8')).models;

/** The golden models of each `model_type`. */
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

An architecture is what \`model_type\` of a model's \`config.json\` names. These are read from their own weights (\`model.safetensors\`, whole or in shards) by every backend. The page is made from the registry.

${table(['`model_type`', 'architecture', 'models that use it', 'from weights', 'fine-tuning'], modelTypes.map(row))}

- **From weights**: \`values\` means that token and sentence vectors of a golden model of this \`model_type\` are compared with those of transformers in the tests; \`read\` means that it is another name of an architecture for which they are.
- **Fine-tuning**: \`values\` means that the loss and all gradients of a training step are compared with those of PyTorch; \`yes\`, that it trains over the same operations, whose gradients are checked one by one.
- **From ONNX**: a folder with \`onnx/model.onnx\` runs on onnxruntime and in a page whatever its architecture is, with the inputs \`input_ids\`, \`attention_mask\`, \`token_type_ids\`, \`position_ids\` and empty \`past_key_values\`. It cannot be fine-tuned, and TensorFlow.js cannot run it. \`sentvec export\` writes such a file for every line above.

## What is not there

- EmbeddingGemma 2 (\`embedding_gemma2\`), Gemma 2, Phi, GPT-2, GPT-NeoX, BLOOM, Longformer, BigBird, XLNet, XLM, Funnel, Nyströmformer, and the text towers of CLIP and SigLIP: refused by their \`model_type\`, with what is nearest. With \`onnx/model.onnx\` in the folder they are embedded anyway.
- Models of images, sound and video.
- Folders with code of their own (\`trust_remote_code\`): code of a model is never run. Those whose architecture is listed above are read without it.
- \`pytorch_model.bin\`: refused with the command that converts it.

One more architecture is a file and a line; the repository's \`CONTRIBUTING.md\` says how.`);
