// The architectures that sentvec has, a line for each `model_type`, and the encoder that a configuration asks for.
import type { SentvecError } from '@sentvec/core';
import { type Architecture, type EncoderProgram, makeNetwork, type StoredTensors } from './architecture.ts';
import { ConfigReader } from './config.ts';
import type { EncoderNetwork } from './network.ts';
import { readTermPooling } from './term-weights.ts';

/** Some models use another model's `model_type`, and differ from it in this field. */
const positions = (config: ConfigReader): string => config.text('position_embedding_type', 'absolute');

/** All architectures, by `model_type` of `config.json`, each loaded when a model asks for it: a page has what it uses. */
const architectures: ReadonlyMap<string, (config: ConfigReader) => Promise<Architecture>> = new Map([
  ['albert', async () => (await import('./albert.ts')).albert],
  [
    'bert',
    async (config: ConfigReader) =>
      positions(config) === 'alibi' ? (await import('./jina-bert.ts')).jinaBert : (await import('./bert.ts')).bert,
  ],
  ['bidirectional_pplx_qwen3', async () => (await import('./decoder.ts')).bidirectionalQwen3],
  ['camembert', async () => (await import('./roberta.ts')).roberta],
  ['data2vec-text', async () => (await import('./roberta.ts')).roberta],
  ['deberta-v2', async () => (await import('./deberta-v2.ts')).debertaV2],
  ['distilbert', async () => (await import('./distilbert.ts')).distilbert],
  ['electra', async () => (await import('./electra.ts')).electra],
  ['ernie', async () => (await import('./ernie.ts')).ernie],
  ['eurobert', async () => (await import('./decoder.ts')).eurobert],
  ['gemma3_text', async () => (await import('./gemma3.ts')).gemma3],
  ['gte', async () => (await import('./gte.ts')).gte],
  ['jina_embeddings_v3', async () => (await import('./jina-embeddings-v3.ts')).jinaEmbeddingsV3],
  ['lfm2', async () => (await import('./lfm2.ts')).lfm2],
  ['llama', async () => (await import('./decoder.ts')).llama],
  ['llama_bidirec', async () => (await import('./decoder.ts')).bidirectionalLlama],
  ['megatron-bert', async () => (await import('./megatron-bert.ts')).megatronBert],
  ['mistral', async () => (await import('./decoder.ts')).mistral],
  ['modernbert', async () => (await import('./modernbert.ts')).modernBert],
  ['mpnet', async () => (await import('./mpnet.ts')).mpnet],
  ['mt5', async () => (await import('./t5.ts')).mt5],
  ['new', async () => (await import('./gte.ts')).gte],
  ['nomic_bert', async () => (await import('./nomic-bert.ts')).nomicBert],
  ['qwen2', async () => (await import('./decoder.ts')).qwen2],
  ['qwen3', async () => (await import('./decoder.ts')).qwen3],
  ['roberta', async () => (await import('./roberta.ts')).roberta],
  ['roformer', async () => (await import('./roformer.ts')).roformer],
  ['squeezebert', async () => (await import('./squeezebert.ts')).squeezeBert],
  ['static-embedding', async () => (await import('./static-embedding.ts')).staticEmbedding],
  ['t5', async () => (await import('./t5.ts')).t5],
  ['umt5', async () => (await import('./t5.ts')).umt5],
  [
    'universal-sentence-encoder-lite',
    async () => (await import('./universal-sentence-encoder-lite.ts')).universalSentenceEncoderLite,
  ],
  [
    'xlm-roberta',
    async (config: ConfigReader) =>
      positions(config) === 'rotary'
        ? (await import('./jina-embeddings-v3.ts')).jinaEmbeddingsV3
        : (await import('./roberta.ts')).roberta,
  ],
  ['xlm-roberta-xl', async () => (await import('./xlm-roberta-xl.ts')).xlmRobertaXl],
]);

/** Every `model_type` of `config.json` that sentvec has an architecture for. */
export const modelTypes: readonly string[] = [...architectures.keys()];

/**
 * The encoder that a `config.json` describes, without weights: what `weights` lists can then be read, or drawn at
 * random.
 * @param file how a person would name the file, for messages
 * @throws SentvecError `unsupported-model` for an architecture, or a variant of one, that sentvec does not have;
 * `invalid-model` when a size is missing or impossible
 */
export function encoderNetwork(
  config: Readonly<Record<string, unknown>>,
  file = 'config.json',
): Promise<EncoderNetwork> {
  return networkOf(new ConfigReader(config, file));
}

/** The same, from a reader; `stored` as in `Architecture`. */
export async function networkOf(config: ConfigReader, stored?: StoredTensors): Promise<EncoderNetwork> {
  const modelType = config.text('model_type');
  const load = architectures.get(modelType);
  if (load !== undefined) return withTermWeights((await load(config))(config, stored), config);
  throw await unknownArchitecture(modelType, config);
}

async function unknownArchitecture(modelType: string, config: ConfigReader): Promise<SentvecError> {
  const { nearestArchitecture } = await import('./nearest-architecture.ts');
  const nearest = nearestArchitecture(modelType, config, modelTypes);
  return config.unsupported(
    'model_type',
    modelType,
    `The nearest architecture that sentvec has is ${nearest}. A folder with onnx/model.onnx needs none; to add one takes a file and a line: see "Add an architecture" in CONTRIBUTING.md. Supported architectures: ${modelTypes.join(', ')}.`,
  );
}

/** @throws SentvecError `unsupported-model` for term weights of an architecture whose head sentvec does not have */
function withTermWeights(program: EncoderProgram, config: ConfigReader): EncoderNetwork {
  const pooling = readTermPooling(config);
  if (pooling === undefined) return makeNetwork(program);
  const head = program.maskedLanguageHead;
  if (head !== undefined) return makeNetwork(program, { head, pooling });
  throw config.unsupported(
    'model_type',
    config.text('model_type'),
    'Sparse vectors can be made with bert, camembert, data2vec-text, distilbert, modernbert, mpnet, roberta, xlm-roberta.',
  );
}
