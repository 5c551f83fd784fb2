// The architectures that sentvec has, a line for each `model_type`, and the encoder that a configuration asks for.
import { albert } from './albert.ts';
import { type Architecture, makeNetwork, type StoredTensors } from './architecture.ts';
import { bert } from './bert.ts';
import { ConfigReader } from './config.ts';
import { debertaV2 } from './deberta-v2.ts';
import { bidirectionalLlama, bidirectionalQwen3, eurobert, llama, mistral, qwen2, qwen3 } from './decoder.ts';
import { distilbert } from './distilbert.ts';
import { electra } from './electra.ts';
import { ernie } from './ernie.ts';
import { gemma3 } from './gemma3.ts';
import { gte } from './gte.ts';
import { jinaBert } from './jina-bert.ts';
import { jinaEmbeddingsV3 } from './jina-embeddings-v3.ts';
import { lfm2 } from './lfm2.ts';
import { megatronBert } from './megatron-bert.ts';
import { modernBert } from './modernbert.ts';
import { mpnet } from './mpnet.ts';
import type { EncoderNetwork } from './network.ts';
import { nomicBert } from './nomic-bert.ts';
import { roberta } from './roberta.ts';
import { roformer } from './roformer.ts';
import { squeezeBert } from './squeezebert.ts';
import { staticEmbedding } from './static-embedding.ts';
import { mt5, t5, umt5 } from './t5.ts';
import { universalSentenceEncoderLite } from './universal-sentence-encoder-lite.ts';
import { xlmRobertaXl } from './xlm-roberta-xl.ts';

/** Of models that call themselves what another is, the architecture by their `position_embedding_type`. */
function byPositions(others: Readonly<Record<string, Architecture>>, usual: Architecture): Architecture {
  return (config, stored) => {
    const positions = config.text('position_embedding_type', 'absolute');
    return (Object.hasOwn(others, positions) ? others[positions]! : usual)(config, stored);
  };
}

/** All architectures, by `model_type` of `config.json`. */
const architectures: ReadonlyMap<string, Architecture> = new Map([
  ['albert', albert],
  ['bert', byPositions({ alibi: jinaBert }, bert)],
  ['bidirectional_pplx_qwen3', bidirectionalQwen3],
  ['camembert', roberta],
  ['data2vec-text', roberta],
  ['deberta-v2', debertaV2],
  ['distilbert', distilbert],
  ['electra', electra],
  ['ernie', ernie],
  ['eurobert', eurobert],
  ['gemma3_text', gemma3],
  ['gte', gte],
  ['jina_embeddings_v3', jinaEmbeddingsV3],
  ['lfm2', lfm2],
  ['llama', llama],
  ['llama_bidirec', bidirectionalLlama],
  ['megatron-bert', megatronBert],
  ['mistral', mistral],
  ['modernbert', modernBert],
  ['mpnet', mpnet],
  ['mt5', mt5],
  ['new', gte],
  ['nomic_bert', nomicBert],
  ['qwen2', qwen2],
  ['qwen3', qwen3],
  ['roberta', roberta],
  ['roformer', roformer],
  ['squeezebert', squeezeBert],
  ['static-embedding', staticEmbedding],
  ['t5', t5],
  ['umt5', umt5],
  ['universal-sentence-encoder-lite', universalSentenceEncoderLite],
  ['xlm-roberta', byPositions({ rotary: jinaEmbeddingsV3 }, roberta)],
  ['xlm-roberta-xl', xlmRobertaXl],
]);

/**
 * The encoder that a `config.json` describes, without weights: what `weights` lists can then be read, or drawn at
 * random.
 * @param file how a person would name the file, for messages
 * @throws SentvecError `unsupported-model` for an architecture, or a variant of one, that sentvec does not have;
 * `invalid-model` when a size is missing or impossible
 */
export function encoderNetwork(config: Readonly<Record<string, unknown>>, file = 'config.json'): EncoderNetwork {
  return networkOf(new ConfigReader(config, file));
}

/** The same, from a reader; `stored` as in `Architecture`. */
export function networkOf(config: ConfigReader, stored?: StoredTensors): EncoderNetwork {
  const modelType = config.text('model_type');
  const architecture = architectures.get(modelType);
  if (architecture !== undefined) return makeNetwork(architecture(config, stored));
  throw config.unsupported(
    'model_type',
    modelType,
    `Supported architectures: ${[...architectures.keys()].join(', ')}.`,
  );
}
