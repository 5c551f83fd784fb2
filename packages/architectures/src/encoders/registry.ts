// The architectures that sentvec has, a line for each `model_type`, and the encoder that a configuration asks for.
import { type Architecture, makeNetwork } from './architecture.ts';
import { bert } from './bert.ts';
import { ConfigReader } from './config.ts';
import { bidirectionalLlama, bidirectionalQwen3, eurobert, llama, mistral, qwen2, qwen3 } from './decoder.ts';
import { distilbert } from './distilbert.ts';
import { gemma3 } from './gemma3.ts';
import { lfm2 } from './lfm2.ts';
import { modernBert } from './modernbert.ts';
import { mpnet } from './mpnet.ts';
import type { EncoderNetwork } from './network.ts';
import { roberta } from './roberta.ts';
import { staticEmbedding } from './static-embedding.ts';
import { universalSentenceEncoderLite } from './universal-sentence-encoder-lite.ts';

/** All architectures, by `model_type` of `config.json`. */
const architectures: ReadonlyMap<string, Architecture> = new Map([
  ['bert', bert],
  ['bidirectional_pplx_qwen3', bidirectionalQwen3],
  ['camembert', roberta],
  ['distilbert', distilbert],
  ['eurobert', eurobert],
  ['gemma3_text', gemma3],
  ['lfm2', lfm2],
  ['llama', llama],
  ['llama_bidirec', bidirectionalLlama],
  ['mistral', mistral],
  ['modernbert', modernBert],
  ['mpnet', mpnet],
  ['qwen2', qwen2],
  ['qwen3', qwen3],
  ['roberta', roberta],
  ['static-embedding', staticEmbedding],
  ['universal-sentence-encoder-lite', universalSentenceEncoderLite],
  ['xlm-roberta', roberta],
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

/** The same, from a reader. */
export function networkOf(config: ConfigReader): EncoderNetwork {
  const modelType = config.text('model_type');
  const architecture = architectures.get(modelType);
  if (architecture !== undefined) return makeNetwork(architecture(config));
  throw config.unsupported(
    'model_type',
    modelType,
    `Supported architectures: ${[...architectures.keys()].join(', ')}.`,
  );
}
