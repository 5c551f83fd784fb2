/**
 * Character classes of patterns, as in Oniguruma 6.9 with Unicode 16: properties, POSIX brackets, shorthands, and
 * case-insensitive matching.
 */
import { categoryBit, categoryBits, looseName } from '../unicode-categories.ts';
import { isSpace } from '../unicode.ts';

/** Whether a code point belongs to a class. */
export type CharacterTest = (code: number) => boolean;

export const anyCharacter: CharacterTest = () => true;
/** What `.` matches. */
export const lineCharacter: CharacterTest = (code) => code !== 10;
export const complement =
  (test: CharacterTest): CharacterTest =>
  (code) =>
    !test(code);

const either =
  (...tests: readonly CharacterTest[]): CharacterTest =>
  (code) =>
    tests.some((test) => test(code));

const hasCategory = (...names: readonly string[]): CharacterTest => {
  const bits = names.reduce((all, name) => all | categoryBits(name), 0);
  return (code) => (categoryBit(code) & bits) !== 0;
};

/** Circled and squared letters such as Ⓐ, which count as letters although they are symbols. */
const isCircledLetter: CharacterTest = (code) =>
  (code >= 0x24b6 && code <= 0x24e9) ||
  (code >= 0x1f130 && code <= 0x1f149) ||
  (code >= 0x1f150 && code <= 0x1f169) ||
  (code >= 0x1f170 && code <= 0x1f189);
const isWordCategory = hasCategory('L', 'M', 'Nl', 'Nd', 'Pc');
const isWordInClass: CharacterTest = (code) => isWordCategory(code) || isCircledLetter(code);
/** Outside of a class six characters of Latin-1 (² ³ ¹ ¼ ½ ¾) belong to words too. */
const isWord: CharacterTest = (code) => isWordInClass(code) || [0xb2, 0xb3, 0xb9, 0xbc, 0xbd, 0xbe].includes(code);
/** What `\w` matches in the crate `regex`, which the pre-tokenizer Whitespace and added tokens use. */
export const isRegexWord: CharacterTest = (code) =>
  isWordCategory(code) || isCircledLetter(code) || code === 0x200c || code === 0x200d;
const isHexadecimal: CharacterTest = (code) => code < 128 && /[0-9A-Fa-f]/u.test(String.fromCodePoint(code));

/**
 * What `\d`, `\h`, `\s` and `\w` match.
 * @param inClass whether it is inside of a bracket expression (`[…]`)
 */
export function shorthandClass(letter: string, inClass: boolean): CharacterTest | undefined {
  switch (letter) {
    case 'd':
      return hasCategory('Nd');
    case 'h':
      return isHexadecimal;
    case 's':
      return isSpace;
    case 'w':
      return inClass ? isWordInClass : isWord;
    default:
      return undefined;
  }
}

/** A Unicode property of the JavaScript engine, restricted to the characters of Unicode 16. */
function engineProperty(name: string): CharacterTest | undefined {
  let expression: RegExp;
  try {
    expression = new RegExp(`\\p{${name}}`, 'u');
  } catch {
    return undefined;
  }
  return (code) => (categoryBit(code) & 1) === 0 && expression.test(String.fromCodePoint(code));
}

/** What `[:name:]` matches. */
export function posixClass(name: string): CharacterTest | undefined {
  switch (name) {
    case 'alnum':
      return either(engineProperty('Alphabetic')!, hasCategory('Nd'));
    case 'alpha':
      return engineProperty('Alphabetic');
    case 'ascii':
      return (code) => code < 128;
    case 'blank':
      return either((code) => code === 9, hasCategory('Zs'));
    case 'cntrl':
      return hasCategory('Cc');
    case 'digit':
      return hasCategory('Nd');
    case 'graph': {
      const invisible = hasCategory('Z', 'Cc', 'Cn');
      return (code) => !invisible(code);
    }
    case 'lower':
      return either(hasCategory('Ll'), engineProperty('Lowercase')!);
    case 'print': {
      const invisible = hasCategory('Zl', 'Zp', 'Cc', 'Cn');
      return (code) => !invisible(code);
    }
    case 'punct':
      return hasCategory('P', 'S');
    case 'space':
      return isSpace;
    case 'upper':
      return either(hasCategory('Lu'), engineProperty('Uppercase')!);
    case 'word':
      return isWordInClass;
    case 'xdigit':
      return isHexadecimal;
    default:
      return undefined;
  }
}

const longCategoryNames: Readonly<Record<string, string>> = {
  other: 'C',
  control: 'Cc',
  format: 'Cf',
  unassigned: 'Cn',
  privateuse: 'Co',
  letter: 'L',
  lowercaseletter: 'Ll',
  modifierletter: 'Lm',
  otherletter: 'Lo',
  titlecaseletter: 'Lt',
  uppercaseletter: 'Lu',
  mark: 'M',
  combiningmark: 'M',
  spacingmark: 'Mc',
  enclosingmark: 'Me',
  nonspacingmark: 'Mn',
  number: 'N',
  decimalnumber: 'Nd',
  letternumber: 'Nl',
  othernumber: 'No',
  punctuation: 'P',
  connectorpunctuation: 'Pc',
  dashpunctuation: 'Pd',
  closepunctuation: 'Pe',
  finalpunctuation: 'Pf',
  initialpunctuation: 'Pi',
  otherpunctuation: 'Po',
  openpunctuation: 'Ps',
  symbol: 'S',
  currencysymbol: 'Sc',
  modifiersymbol: 'Sk',
  mathsymbol: 'Sm',
  othersymbol: 'So',
  separator: 'Z',
  lineseparator: 'Zl',
  paragraphseparator: 'Zp',
  spaceseparator: 'Zs',
};

/**
 * What `\p{name}` matches: a general category, a POSIX class, a script or a property of Unicode.
 * @param inClass whether it is inside of a bracket expression (`[…]`)
 */
export function propertyClass(name: string, inClass: boolean): CharacterTest | undefined {
  const loose = looseName(name);
  const category = longCategoryNames[loose] ?? (loose[0] ?? '').toUpperCase() + loose.slice(1);
  if (/^[A-Z][a-z]?$/u.test(category) && category !== 'Cs' && categoryBits(category) !== 0)
    return hasCategory(category);
  switch (loose) {
    case 'any':
      return anyCharacter;
    case 'assigned':
      return complement(hasCategory('Cn'));
    case 'casedletter':
    case 'lc':
      return hasCategory('Lu', 'Ll', 'Lt');
    case 'lowercase':
      return posixClass('lower');
    case 'posixpunct':
      return posixClass('punct');
    case 'punct':
      return hasCategory('P');
    case 'uppercase':
      return posixClass('upper');
    case 'whitespace':
      return isSpace;
    case 'word':
      return inClass ? isWordInClass : isWord;
    default:
  }
  const words = name
    .trim()
    .split(/[\s_-]+/u)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase())
    .join('_');
  if (/^(?:Cs|Surrogate|Extended_Pictographic)$|=/u.test(words)) return undefined;
  return posixClass(loose) ?? engineProperty(`Script=${words}`) ?? engineProperty(words);
}

/**
 * Characters that case-insensitive matching treats as equal to others, although `toLowerCase` and `toUpperCase` do not
 * convert between them, such as the long s (ſ) and s.
 */
const otherCases = Array.from(
  '\u017F\u212A\u212B\u2126\u00B5\u03C2\u03D0\u03D1\u03D5\u03D6\u03F0\u03F1\u03F5\u1E9B\u1E9E\u1FBE\u0345\u03F4' +
    '\u1C80\u1C81\u1C82\u1C83\u1C84\u1C85\u1C86\u1C87\u1C88\u01C5\u01C8\u01CB\u01F2',
);

/**
 * A class that ignores case.
 * @param single the code point, if the class consists of a single one
 */
export function caseInsensitive(test: CharacterTest, single?: number): CharacterTest {
  if (single === undefined) return (code) => caseVariants(code).some(test);
  const same = new Set(caseVariants(single));
  return (code) => same.has(code);
}

/** Whether a class distinguishes upper case, lower case and title case. */
export function dependsOnCase(test: CharacterTest): boolean {
  return test(0x41) !== test(0x61) || test(0x1c5) !== test(0x1c4) || test(0x1c5) !== test(0x1c6);
}

/** The characters that a case-insensitive pattern treats as equal to this one, including itself. */
function caseVariants(code: number): number[] {
  const character = String.fromCodePoint(code);
  const same = new RegExp(`^\\u{${code.toString(16)}}$`, 'iu');
  const lower = character.toLowerCase();
  const upper = character.toUpperCase();
  const candidates = [character, lower, upper, lower.toUpperCase(), upper.toLowerCase(), ...otherCases];
  return [...new Set(candidates.filter((other) => same.test(other)).map((other) => other.codePointAt(0)!))];
}

/** The ranges of characters that case folding turns into several letters, such as ß (ss) and ﬁ (fi). */
const foldsToSeveral = /[ßİŉǰΐΰև\u1E96-\u1E9A\u1E9E\u1F50-\u1FFC\uFB00-\uFB17]/u;
let pairs: ReadonlySet<string> | undefined;

/**
 * Whether a case-insensitive match could change the number of letters: because case folding turns this literal into
 * several letters (ß to ss), or because it and the literal before it are the folding of one character (ss from ß).
 */
export function isFoldedToSeveral(previous: string, literal: string): boolean {
  if (foldsToSeveral.test(literal) && Array.from(fullFold(literal)).length > 1) return true;
  if (previous === '' || literal === '') return false;
  pairs ??= foldedPairs();
  return pairs.has((previous + literal).toLowerCase());
}

function fullFold(character: string): string {
  return character === 'ẞ' ? 'ss' : character.toUpperCase().toLowerCase();
}

function foldedPairs(): ReadonlySet<string> {
  const folded = Array.from({ length: 0x10000 - 0xdf }, (_, index) => String.fromCharCode(index + 0xdf))
    .filter((character) => foldsToSeveral.test(character))
    .map((character) => Array.from(fullFold(character)));
  return new Set(folded.filter(({ length }) => length > 1).map(([first, second]) => first! + second!));
}
