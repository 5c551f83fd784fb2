// Reads the special tokens that are added around a text from any type of post-processor.
import { SentvecError } from '../errors.ts';
import { isObject } from '../model-folder/json.ts';
import type { TokenizerComponent, TokenizerJson } from './tokenizer-json.ts';
import { isTokenId } from './vocabulary.ts';

/** The ids of the special tokens before and after a single text. */
export interface SpecialTokens {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/** The text of a token in a configuration, where it is a string or an object with `content`. */
export function tokenContent(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  return isObject(token) && typeof token['content'] === 'string' ? token['content'] : undefined;
}

/**
 * Reads the special tokens that the post-processor adds to a single text, so that a text can be truncated before they
 * are added.
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export function specialTokensOf(json: TokenizerJson, file: string): SpecialTokens {
  return wrapWith(json.post_processor, { prefix: [], suffix: [] }, file);
}

function wrapWith(processor: TokenizerComponent | null, inner: SpecialTokens, file: string): SpecialTokens {
  switch (processor?.type) {
    case undefined:
    case 'ByteLevel':
      return inner;
    case 'BertProcessing':
    case 'RobertaProcessing':
      return {
        prefix: [namedId(processor, 'cls', file), ...inner.prefix],
        suffix: [...inner.suffix, namedId(processor, 'sep', file)],
      };
    case 'TemplateProcessing':
      return templateTokens(processor, inner, file);
    case 'Sequence': {
      const steps = processor['processors'];
      if (!Array.isArray(steps) || !steps.every(isObject)) throw invalid(file, 'a sequence without "processors"');
      return steps.reduce<SpecialTokens>((tokens, step) => wrapWith(step as TokenizerComponent, tokens, file), inner);
    }
    default:
      throw new SentvecError(
        'unsupported-model',
        `${file} uses the post-processor "${processor?.type}", which sentvec does not support. Supported are TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel and Sequence.`,
        { file },
      );
  }
}

/** The id of `["[CLS]", 101]`. @throws SentvecError `invalid-model` */
export function namedId(processor: TokenizerComponent, name: 'cls' | 'sep', file: string): number {
  const entry = processor[name];
  if (!Array.isArray(entry) || !isTokenId(entry[1]))
    throw invalid(file, `${processor.type} without an id for "${name}"`);
  return entry[1];
}

function templateTokens(processor: TokenizerComponent, inner: SpecialTokens, file: string): SpecialTokens {
  const { single, special_tokens: definitions } = processor;
  if (!Array.isArray(single) || !isObject(definitions))
    throw invalid(file, 'TemplateProcessing without "single" or "special_tokens"');
  const prefix: number[] = [];
  const suffix: number[] = [];
  let sequences = 0;
  for (const piece of single as readonly unknown[]) {
    if (!isObject(piece)) throw invalid(file, 'TemplateProcessing with a piece that is not an object');
    if (piece['Sequence'] !== undefined) {
      sequences += 1;
      continue;
    }
    const name = isObject(piece['SpecialToken']) ? piece['SpecialToken']['id'] : undefined;
    const definition = typeof name === 'string' && Object.hasOwn(definitions, name) ? definitions[name] : undefined;
    const ids = isObject(definition) ? definition['ids'] : undefined;
    if (!Array.isArray(ids) || !ids.every(isTokenId))
      throw invalid(file, `TemplateProcessing with the undefined token ${JSON.stringify(name)}`);
    (sequences === 0 ? prefix : suffix).push(...ids);
  }
  if (sequences !== 1) throw invalid(file, 'TemplateProcessing whose "single" does not contain the text exactly once');
  return { prefix: [...prefix, ...inner.prefix], suffix: [...inner.suffix, ...suffix] };
}

function invalid(file: string, what: string): SentvecError {
  return new SentvecError('invalid-model', `The post-processor in ${file} is ${what}.`, { file });
}
