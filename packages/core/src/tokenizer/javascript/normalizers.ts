import {
  chineseCharacters,
  controlCharacters,
  inertInNormalization,
  marks,
  nonspacingMarks,
  whitespace,
} from './character-classes.ts';
import type { TokenizerComponent } from '../tokenizer-json.ts';
import type { LibraryNormalizer } from './library.ts';
import { PrecompiledCharsmap } from './precompiled-charsmap.ts';

type NormalizationForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

const allControls = new RegExp(`[${controlCharacters}]`, 'gu');
const allChinese = new RegExp(`[${chineseCharacters}]`, 'gu');
const allNonspacingMarks = new RegExp(`[${nonspacingMarks}]`, 'gu');
const allMarks = new RegExp(`[${marks}]`, 'gu');
const allWhitespace = new RegExp(whitespace, 'gu');
const leadingWhitespace = new RegExp(`^${whitespace}+`, 'u');
const trailingWhitespace = new RegExp(`(?<!${whitespace})${whitespace}+$`, 'u');
const allInert = new RegExp(`([${inertInNormalization}])`, 'gu');
const anyInert = new RegExp(`[${inertInNormalization}]`, 'u');

/**
 * Makes a normalizer of the library give what its original in Rust gives, in the places where it does not: other
 * versions of Unicode, final sigma, whitespace, ideographs beyond U+FFFF, and the table of Precompiled, which the
 * library only imitates.
 */
export function correctNormalizer(normalizer: LibraryNormalizer | null, config: TokenizerComponent | null): void {
  if (normalizer === null || config === null) return;
  const steps = config['normalizers'] as readonly TokenizerComponent[] | undefined;
  if (config.type === 'Sequence')
    normalizer.normalizers?.forEach((step, index) => correctNormalizer(step, steps?.[index] ?? null));
  else normalizer.normalize = correctedNormalize(config) ?? normalizer.normalize.bind(normalizer);
}

function correctedNormalize(config: TokenizerComponent): ((text: string) => string) | undefined {
  switch (config.type) {
    case 'BertNormalizer':
      return bertNormalize(config);
    case 'Lowercase':
      return lowercase;
    case 'StripAccents':
      return (text) => text.replaceAll(allMarks, '');
    case 'Strip':
      return stripWhitespace(config);
    case 'Precompiled': {
      const charsmap = new PrecompiledCharsmap(config['precompiled_charsmap'] as string);
      return (text) => charsmap.normalize(text);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form = config.type;
      return (text) => normalizeForm(text, form);
    }
    default:
      return undefined;
  }
}

function bertNormalize(config: TokenizerComponent): (text: string) => string {
  const { clean_text: clean = true, handle_chinese_chars: chinese = true, lowercase: lower = true } = config;
  const stripAccents = config['strip_accents'] ?? lower;
  return (text) => {
    let result = text;
    if (clean) result = result.replaceAll(allControls, '').replaceAll(allWhitespace, ' ');
    if (chinese) result = result.replaceAll(allChinese, ' $& ');
    if (stripAccents) result = normalizeForm(result, 'NFD').replaceAll(allNonspacingMarks, '');
    return lower ? lowercase(result) : result;
  };
}

/** Letter by letter: sigma at the end of a word is the one case in which `toLowerCase` looks at the neighbours. */
function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

function normalizeForm(text: string, form: NormalizationForm): string {
  if (!anyInert.test(text)) return text.normalize(form);
  return text
    .split(allInert)
    .map((part, index) => (index % 2 === 0 ? part.normalize(form) : part))
    .join('');
}

function stripWhitespace(config: TokenizerComponent): (text: string) => string {
  return (text) => {
    const rest = config['strip_left'] ? text.replace(leadingWhitespace, '') : text;
    return config['strip_right'] ? rest.replace(trailingWhitespace, '') : rest;
  };
}
