import { bert } from './bert.ts';
import { distilbert } from './distilbert.ts';
import { mpnet } from './mpnet.ts';
import type { Architecture } from './network.ts';
import { roberta } from './roberta.ts';
import { staticEmbedding } from './static-embedding.ts';
import { universalSentenceEncoderLite } from './universal-sentence-encoder-lite.ts';

/** All architectures, by `model_type` of `config.json`. */
export const architectures: ReadonlyMap<string, Architecture> = new Map([
  ['bert', bert],
  ['camembert', roberta],
  ['distilbert', distilbert],
  ['mpnet', mpnet],
  ['roberta', roberta],
  ['static-embedding', staticEmbedding],
  ['universal-sentence-encoder-lite', universalSentenceEncoderLite],
  ['xlm-roberta', roberta],
]);
