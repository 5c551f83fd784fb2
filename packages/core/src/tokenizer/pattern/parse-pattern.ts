/**
 * Reads the regular expressions of a `tokenizer.json`, which are in the syntax of Oniguruma
 * (https://github.com/kkos/oniguruma/blob/master/doc/RE), into a tree. Syntax that tokenizers do not need, such as
 * backreferences, and syntax whose meaning is ambiguous are refused with an error that names it.
 */
import { SentvecError } from '../../errors.ts';
import {
  anyCharacter,
  caseInsensitive,
  complement,
  dependsOnCase,
  isFoldedToSeveral,
  lineCharacter,
  posixClass,
  propertyClass,
  shorthandClass,
  type CharacterTest,
} from './character-classes.ts';
import { contains, type Anchor, type PatternNode } from './pattern-tree.ts';

/**
 * @throws SentvecError `invalid-model` when it is not a regular expression, `unsupported-model` when it uses syntax
 * that sentvec does not support
 */
export function parsePattern(source: string): PatternNode {
  return new PatternParser(source).parse();
}

interface Flags {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
  readonly extended: boolean;
}

/** Maximum nesting of groups and classes. */
const maxNesting = 100;
/** Largest number in a quantifier such as `{1000}`; Oniguruma allows 100,000. */
const maxRepetitions = 1000;

class PatternParser {
  readonly #characters: readonly string[];
  readonly #source: string;
  #at = 0;
  #depth = 0;
  /** Number of capturing groups so far. */
  #captures = 0;
  #flags: Flags = { ignoreCase: false, dotAll: false, extended: false };

  constructor(source: string) {
    this.#source = source;
    this.#characters = Array.from(source);
  }

  parse(): PatternNode {
    const node = this.#choice();
    if (this.#at < this.#characters.length) throw this.#invalid('a ")" without "("');
    return node;
  }

  #choice(): PatternNode {
    const nodes = [this.#sequence()];
    while (this.#take('|')) nodes.push(this.#sequence());
    return nodes.length === 1 ? nodes[0]! : { kind: 'choice', nodes };
  }

  #sequence(): PatternNode {
    const nodes: PatternNode[] = [];
    let previousLiteral = '';
    for (;;) {
      this.#skipComments();
      const next = this.#peek();
      if (next === undefined || next === '|' || next === ')') break;
      const atom = this.#atom();
      const literal = atom.literal ?? '';
      if (this.#flags.ignoreCase && isFoldedToSeveral(previousLiteral, literal))
        throw this.#unsupported(
          'case-insensitive letters that are equal to several other letters, such as "ß" and "ss"',
        );
      previousLiteral = literal;
      nodes.push(this.#quantified(atom.node));
    }
    return nodes.length === 1 ? nodes[0]! : { kind: 'sequence', nodes };
  }

  #quantified(atom: PatternNode): PatternNode {
    let node = atom;
    for (;;) {
      this.#skipComments();
      const bounds = this.#quantifier();
      if (bounds === undefined) return node;
      if (canMatchNothing(node, false))
        throw this.#invalid('a repetition of something that matches no characters, such as "^" or "(?=a)"');
      // The Rust tokenizers do not find all matches of such groups.
      if (canMatchNothing(node, true))
        throw this.#unsupported('a repetition of a group with an alternative such as "^"');
      const { min, max, isInterval } = bounds;
      if (isInterval && min === max && this.#take('?')) {
        const exactly: PatternNode = { kind: 'repeat', node, min, max, mode: 'greedy' };
        node = { kind: 'repeat', node: exactly, min: 0, max: 1, mode: 'greedy' };
        continue;
      }
      const mode = this.#take('?') ? 'lazy' : !isInterval && this.#take('+') ? 'possessive' : 'greedy';
      node = { kind: 'repeat', node, min, max, mode };
    }
  }

  #quantifier(): { readonly min: number; readonly max: number; readonly isInterval: boolean } | undefined {
    if (this.#take('*')) return { min: 0, max: Infinity, isInterval: false };
    if (this.#take('+')) return { min: 1, max: Infinity, isInterval: false };
    if (this.#take('?')) return { min: 0, max: 1, isInterval: false };
    const interval = this.#interval();
    if (interval === undefined) return undefined;
    this.#at += interval.length;
    const { min, max } = interval;
    if (max < min) throw this.#unsupported('a repetition whose upper bound is below its lower bound');
    if (Math.max(min, max === Infinity ? 0 : max) > maxRepetitions)
      throw this.#unsupported(`a repetition of more than ${maxRepetitions} times`);
    return { min, max, isInterval: true };
  }

  /** `{2}`, `{2,}`, `{,3}` or `{2,3}` at this position. Any other brace is a literal. */
  #interval(): { readonly min: number; readonly max: number; readonly length: number } | undefined {
    if (this.#peek() !== '{') return undefined;
    const match = /^\{(?:(\d+)(,?)(\d*)|,(\d+))\}/u.exec(this.#characters.slice(this.#at, this.#at + 20).join(''));
    if (match === null) return undefined;
    const [{ length }, low, comma, high, only] = match;
    if (only !== undefined) return { min: 0, max: Number(only), length };
    if (comma === '' && high !== '') return undefined;
    const min = Number(low);
    return { min, max: comma === '' ? min : high === '' ? Infinity : Number(high), length };
  }

  #atom(): { readonly node: PatternNode; readonly literal?: string } {
    const character = this.#next();
    switch (character) {
      case '(':
        return { node: this.#group() };
      case '[':
        return { node: this.#character(this.#class()) };
      case '.':
        return { node: this.#character(this.#flags.dotAll ? anyCharacter : lineCharacter) };
      case '^':
      case '$':
        return { node: { kind: 'anchor', anchor: character } };
      case '*':
      case '+':
      case '?':
        throw this.#invalid(`a "${character}" with nothing to repeat`);
      case '\\':
        return this.#escape();
      default:
        if (character === '{' && ((this.#at -= 1), this.#interval()) !== undefined)
          throw this.#invalid('a "{" with nothing to repeat');
        if (character === '{') this.#at += 1;
        return this.#literal(character);
    }
  }

  #literal(character: string): { readonly node: PatternNode; readonly literal: string } {
    const code = character.codePointAt(0)!;
    const test = (other: number): boolean => other === code;
    return {
      node: this.#character(this.#flags.ignoreCase ? caseInsensitive(test, code) : test),
      literal: character,
    };
  }

  #character(test: CharacterTest): PatternNode {
    return { kind: 'character', test };
  }

  #group(): PatternNode {
    if (!this.#take('?')) {
      if (this.#peek() === '*') throw this.#unsupported('a callout');
      this.#captures += 1;
      return grouped(this.#closed());
    }
    const kind = this.#next();
    switch (kind) {
      case ':':
        return this.#closed();
      case '>':
        return { kind: 'atomic', node: this.#closed() };
      case '=':
      case '!':
        return { kind: 'look', node: this.#closed(), behind: false, negative: kind === '!' };
      case '<': {
        const sign = this.#next();
        if (sign === '=' || sign === '!') return this.#lookBehind(sign === '!');
        while (this.#next() !== '>');
        this.#captures += 1;
        return grouped(this.#closed());
      }
      default:
        this.#at -= 1;
        return this.#options();
    }
  }

  /** Parses a group up to its closing parenthesis. */
  #closed(): PatternNode {
    const outer = this.#flags;
    this.#depth += 1;
    if (this.#depth > maxNesting) throw this.#unsupported(`more than ${maxNesting} nested groups`);
    const node = this.#choice();
    if (!this.#take(')')) throw this.#invalid('a "(" without ")"');
    this.#depth -= 1;
    this.#flags = outer;
    return node;
  }

  #lookBehind(negative: boolean): PatternNode {
    const captures = this.#captures;
    const node = this.#closed();
    if (negative && this.#captures > captures) throw this.#invalid('a capturing group in a negative look-behind');
    if (contains(node, 'look')) throw this.#unsupported('a look-around within a look-behind');
    if (contains(node, 'z') || contains(node, 'Z')) throw this.#invalid('the end of the text within a look-behind');
    const branches = node.kind === 'choice' ? node.nodes : [node];
    if (branches.some(isAllOptional)) throw this.#unsupported('a look-behind whose parts are all optional');
    if (contains(node, 'atomic')) throw this.#unsupported('an atomic group within a look-behind');
    return { kind: 'look', node, behind: true, negative };
  }

  /** Parses `(?i:…)`, or `(?i)`, which applies up to the end of the enclosing group, including further alternatives. */
  #options(): PatternNode {
    const flags = { ...this.#flags };
    let on = true;
    for (;;) {
      const letter = this.#next();
      if (letter === '-') on = false;
      else if (letter === 'i') flags.ignoreCase = on;
      else if (letter === 'm') flags.dotAll = on;
      else if (letter === 'x') flags.extended = on;
      else if (letter === ':' || letter === ')') {
        const outer = this.#flags;
        this.#flags = flags;
        if (letter === ')') return grouped(this.#choice());
        const node = this.#closed();
        this.#flags = outer;
        return grouped(node);
      } else throw this.#unsupported(`the group "(?${letter}"`);
    }
  }

  #escape(): { readonly node: PatternNode; readonly literal?: string } {
    const letter = this.#next();
    if ('AZzbB'.includes(letter)) return { node: { kind: 'anchor', anchor: letter as Anchor } };
    if (letter === 'R') {
      const pair = ['\r', '\n'].map((character) => this.#character((code) => code === character.codePointAt(0)));
      const single = this.#character((code) => (code >= 10 && code <= 13) || [0x85, 0x2028, 0x2029].includes(code));
      return {
        node: { kind: 'atomic', node: { kind: 'choice', nodes: [{ kind: 'sequence', nodes: pair }, single] } },
      };
    }
    if (letter === 'N') return { node: this.#character(lineCharacter) };
    if (letter === 'O') return { node: this.#character(anyCharacter) };
    const test = this.#classEscape(letter, false);
    return test ? { node: this.#character(test) } : this.#literal(this.#characterEscape(letter));
  }

  /** Parses an escape for a set of characters, after its backslash; `undefined` if it is none. */
  #classEscape(letter: string, inClass: boolean): CharacterTest | undefined {
    const shorthand = shorthandClass(letter.toLowerCase(), inClass);
    if (shorthand) return this.#checkCase(letter === letter.toLowerCase() ? shorthand : complement(shorthand));
    if (letter.toLowerCase() !== 'p' || this.#peek() !== '{') return undefined;
    this.#next();
    let name = '';
    for (let character = this.#next(); character !== '}'; character = this.#next()) name += character;
    const negated = name.startsWith('^') !== (letter === 'P');
    const property = propertyClass(name.replace(/^\^/u, ''), inClass);
    if (property === undefined) throw this.#unsupported(`the property "${name}"`);
    return this.#checkCase(negated ? complement(property) : property);
  }

  /**
   * Refuses classes that depend on case, for which Oniguruma treats `(?i)` differently inside and outside of brackets.
   */
  #checkCase(test: CharacterTest): CharacterTest {
    if (this.#flags.ignoreCase && dependsOnCase(test))
      throw this.#unsupported('a case-insensitive class of upper case or lower case letters');
    return test;
  }

  /** Parses an escape for a single character, after its backslash. */
  #characterEscape(letter: string): string {
    switch (letter) {
      case 'x':
        return this.#hexadecimal(this.#peek() === '{' ? /^\{([0-9A-Fa-f]{1,8})\}/u : /^([0-9A-Fa-f]{1,2})/u);
      case 'u':
        return this.#hexadecimal(/^([0-9A-Fa-f]{4})/u);
      default:
    }
    const control = 'tnrfvae'.indexOf(letter);
    if (control !== -1) return '\t\n\r\f\v\u0007\u001b'[control]!;
    if (/[0-9A-Za-z]/u.test(letter)) throw this.#unsupported(`"\\${letter}"`);
    return letter;
  }

  #hexadecimal(form: RegExp): string {
    const match = form.exec(this.#characters.slice(this.#at, this.#at + 10).join(''));
    const code = match ? Number.parseInt(match[1]!, 16) : Infinity;
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw this.#invalid('a number that is not a character');
    this.#at += match![0].length;
    return String.fromCodePoint(code);
  }

  /** Parses a bracket expression, after its `[`. */
  #class(isNested = false): CharacterTest {
    this.#depth += 1;
    if (this.#depth > maxNesting) throw this.#unsupported(`more than ${maxNesting} nested classes`);
    const negated = this.#take('^');
    const parts: CharacterTest[][] = [[]];
    const first = this.#at;
    for (;;) {
      const character = this.#next();
      if (character === ']' && this.#at > first + 1) break;
      if (character === '&' && this.#peek() === '&') {
        this.#next();
        parts.push([]);
      } else parts.at(-1)!.push(this.#classItem(character));
    }
    this.#depth -= 1;
    if (this.#flags.ignoreCase && (parts.length > 1 || (negated && isNested)))
      throw this.#unsupported('an intersection or a nested negation of case-insensitive classes');
    const tests = parts.map(unite);
    const all = tests.length === 1 ? tests[0]! : (code: number) => tests.every((test) => test(code));
    return negated ? complement(all) : all;
  }

  #classItem(character: string): CharacterTest {
    if (character === '[') return this.#posixBracket() ?? this.#class(true);
    if (character === '\\' && this.#peek() !== 'b') {
      const test = this.#classEscape(this.#next(), true);
      if (test) {
        if (this.#peek() === '-' && this.#characters[this.#at + 1] !== ']')
          throw this.#unsupported('a "-" after a class of characters');
        return test;
      }
      this.#at -= 1;
    }
    const low = this.#classCharacter(character);
    if (this.#peek() !== '-' || this.#characters[this.#at + 1] === ']') return this.#classRange(low, low);
    if (character === '-' || this.#characters[this.#at + 1] === '[')
      throw this.#unsupported('a "-" whose meaning is ambiguous');
    this.#next();
    const end = this.#next();
    if (end === '\\' && shorthandClass(this.#peek()?.toLowerCase() ?? '', true))
      throw this.#invalid('a range to a class');
    const high = this.#classCharacter(end);
    if (high < low) throw this.#invalid('a range whose end is before its start');
    if (this.#peek() === '-' && this.#characters[this.#at + 1] !== ']')
      throw this.#unsupported('a "-" whose meaning is ambiguous');
    return this.#classRange(low, high);
  }

  #classCharacter(character: string): number {
    const single = character !== '\\' ? character : this.#take('b') ? '\b' : this.#characterEscape(this.#next());
    return single.codePointAt(0)!;
  }

  #classRange(low: number, high: number): CharacterTest {
    const test = low === high ? (code: number) => code === low : (code: number) => code >= low && code <= high;
    if (!this.#flags.ignoreCase) return test;
    if (isFoldedToSeveral('', String.fromCodePoint(low)) || (low < 0xdf && high >= 0xdf) || high - low > 0x1000)
      throw this.#unsupported('case-insensitive letters that are equal to several other letters, such as "ß" and "ss"');
    return caseInsensitive(test, low === high ? low : undefined);
  }

  /** `[:alpha:]` or `[:^alpha:]` within a class. */
  #posixBracket(): CharacterTest | undefined {
    const match = /^:(\^?)([A-Za-z]+):\]/u.exec(this.#characters.slice(this.#at, this.#at + 20).join(''));
    if (match === null) return undefined;
    const test = posixClass(match[2]!);
    if (test === undefined) throw this.#invalid(`the unknown class "[:${match[2]}:]"`);
    this.#at += match[0].length;
    return this.#checkCase(match[1] === '^' ? complement(test) : test);
  }

  #skipComments(): void {
    for (;;) {
      const next = this.#peek();
      if (next === '(' && this.#characters[this.#at + 1] === '?' && this.#characters[this.#at + 2] === '#') {
        while (this.#next() !== ')');
      } else if (this.#flags.extended && next === '#') {
        while (this.#peek() !== undefined && this.#next() !== '\n');
      } else if (this.#flags.extended && next !== undefined && /[\t-\r ]/u.test(next)) this.#at += 1;
      else return;
    }
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at += 1;
    return true;
  }

  #next(): string {
    const character = this.#characters[this.#at];
    if (character === undefined) throw this.#invalid('an unexpected end');
    this.#at += 1;
    return character;
  }

  #invalid(what: string): SentvecError {
    return new SentvecError(
      'invalid-model',
      `The pattern ${this.#quoted()} is not a regular expression: it has ${what}.`,
    );
  }

  #unsupported(what: string): SentvecError {
    return new SentvecError(
      'unsupported-model',
      `The pattern ${this.#quoted()} has ${what}, which sentvec cannot match.`,
    );
  }

  #quoted(): string {
    return JSON.stringify(this.#source.length > 200 ? `${this.#source.slice(0, 200)}…` : this.#source);
  }
}

function unite(tests: readonly CharacterTest[]): CharacterTest {
  return tests.length === 1 ? tests[0]! : (code) => tests.some((test) => test(code));
}

/** Marks a node as a group: inside of it, a repetition may match no characters. */
function grouped(node: PatternNode): PatternNode {
  return node.kind === 'character' || node.kind === 'repeat' ? node : { kind: 'sequence', nodes: [node] };
}

/**
 * Whether a node is an anchor or a look-around, or has one as an alternative.
 * @param inGroups whether to look into groups, too
 */
function canMatchNothing(node: PatternNode, inGroups: boolean): boolean {
  if (node.kind === 'choice') return node.nodes.some((part) => canMatchNothing(part, inGroups));
  if (inGroups && node.kind === 'sequence' && node.nodes.length === 1) return canMatchNothing(node.nodes[0]!, inGroups);
  return node.kind === 'anchor' || node.kind === 'look';
}

function isAllOptional(node: PatternNode): boolean {
  if (node.kind !== 'sequence' || node.nodes.length < 2) return false;
  return node.nodes.every((part) => part.kind === 'repeat' && part.min === 0);
}
