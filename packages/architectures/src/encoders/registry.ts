// The supported architectures by `model_type`, and the encoder network for a configuration.
import type { SentvecError } from '@sentvec/core';
import { type Architecture, type EncoderProgram, makeNetwork, type StoredTensors } from './architecture.ts';
import { ConfigReader } from './config.ts';
import type { EncoderNetwork } from './network.ts';
import { readTermPooling } from './term-weights.ts';

/** The field in which models differ that share a `model_type` with another architecture. */
const positions = (config: ConfigReader): string => config.text('position_embedding_type', 'absolute');

/**
 * All architectures by `model_type` of `config.json`. Each is imported when a model needs it, so that a web page loads
 * only the architectures that it uses.
 */
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

/** Every `model_type` of `config.json` that sentvec supports. */
export const modelTypes: readonly string[] = [...architectures.keys()];

/**
 * The encoder network that a `config.json` describes, without weights. The caller reads or initializes the weights that
 * `weights` lists.
 * @param file the name of the file in messages (default: `config.json`)
 * @throws SentvecError `unsupported-model` for an architecture or a variant that sentvec does not support;
 * `invalid-model` if a size is missing or invalid
 */
export function encoderNetwork(
  config: Readonly<Record<string, unknown>>,
  file = 'config.json',
): Promise<EncoderNetwork> {
  return networkOf(new ConfigReader(config, file));
}

/** {@link encoderNetwork} from a reader. See `Architecture` for `stored`. */
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
    `The most similar supported architecture is ${nearest}. Use a model folder with onnx/model.onnx, which needs no architecture, or add the architecture: see "Add an architecture" in CONTRIBUTING.md. Supported architectures: ${modelTypes.join(', ')}.`,
  );
}

/**
 * @throws SentvecError `unsupported-model` for sparse vectors of an architecture whose masked language modeling head
 * sentvec does not support
 */
function withTermWeights(program: EncoderProgram, config: ConfigReader): EncoderNetwork {
  const pooling = readTermPooling(config);
  if (pooling === undefined) return makeNetwork(program);
  const head = program.maskedLanguageHead;
  if (head !== undefined) return makeNetwork(program, { head, pooling });
  throw config.unsupported(
    'model_type',
    config.text('model_type'),
    'Architectures that support sparse vectors: bert, camembert, data2vec-text, distilbert, modernbert, mpnet, roberta, xlm-roberta.',
  );
}
