/**
 * Reads the regular expressions of a `tokenizer.json`, which are in the syntax of Oniguruma
 * (https://github.com/kkos/oniguruma/blob/master/doc/RE), into a tree. What a tokenizer has no use for, such as
 * backreferences, is refused by its name, as is everything whose meaning is not certain.
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
import { holds, type Anchor, type PatternNode } from './pattern-tree.ts';

/**
 * @throws SentvecError `invalid-model` when it is not a regular expression, `unsupported-model` when it uses what
 * sentvec does not know
 */
export function parsePattern(source: string): PatternNode {
  return new PatternParser(source).parse();
}

interface Flags {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
  readonly extended: boolean;
}

/** Groups and classes within one another. */
const deepestNesting = 100;
/** The most repetitions that a pattern may ask for by number; Oniguruma allows 100,000. */
const maxRepetitions = 1000;

class PatternParser {
  readonly #characters: readonly string[];
  readonly #source: string;
  #at = 0;
  #depth = 0;
  /** Groups that Oniguruma would remember the text of. */
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
        throw this.#unsupported('letters without case that have another spelling of several letters, as "ss" and "ß"');
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
      if (takesNothing(node, false))
        throw this.#invalid('a repetition of what takes no characters, such as "^" or "(?=a)"');
      // The Rust tokenizers do not find all that such groups match.
      if (takesNothing(node, true)) throw this.#unsupported('a repetition of a group with an alternative such as "^"');
      const { least, most, isInterval } = bounds;
      if (isInterval && least === most && this.#take('?')) {
        const exactly: PatternNode = { kind: 'repeat', node, least, most, mode: 'greedy' };
        node = { kind: 'repeat', node: exactly, least: 0, most: 1, mode: 'greedy' };
        continue;
      }
      const mode = this.#take('?') ? 'lazy' : !isInterval && this.#take('+') ? 'possessive' : 'greedy';
      node = { kind: 'repeat', node, least, most, mode };
    }
  }

  #quantifier(): { readonly least: number; readonly most: number; readonly isInterval: boolean } | undefined {
    if (this.#take('*')) return { least: 0, most: Infinity, isInterval: false };
    if (this.#take('+')) return { least: 1, most: Infinity, isInterval: false };
    if (this.#take('?')) return { least: 0, most: 1, isInterval: false };
    const interval = this.#interval();
    if (interval === undefined) return undefined;
    this.#at += interval.length;
    const { least, most } = interval;
    if (most < least) throw this.#unsupported('a repetition whose bounds are the wrong way round');
    if (Math.max(least, most === Infinity ? 0 : most) > maxRepetitions)
      throw this.#unsupported(`a repetition of more than ${maxRepetitions} times`);
    return { least, most, isInterval: true };
  }

  /** `{2}`, `{2,}`, `{,3}` or `{2,3}` at this position; a brace that is none of these stands for itself. */
  #interval(): { readonly least: number; readonly most: number; readonly length: number } | undefined {
    if (this.#peek() !== '{') return undefined;
    const match = /^\{(?:(\d+)(,?)(\d*)|,(\d+))\}/u.exec(this.#characters.slice(this.#at, this.#at + 20).join(''));
    if (match === null) return undefined;
    const [{ length }, low, comma, high, only] = match;
    if (only !== undefined) return { least: 0, most: Number(only), length };
    if (comma === '' && high !== '') return undefined;
    const least = Number(low);
    return { least, most: comma === '' ? least : high === '' ? Infinity : Number(high), length };
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
        throw this.#invalid(`a "${character}" that repeats nothing`);
      case '\\':
        return this.#escape();
      default:
        if (character === '{' && ((this.#at -= 1), this.#interval()) !== undefined)
          throw this.#invalid('a "{" that repeats nothing');
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
      return enclosed(this.#closed());
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
        return enclosed(this.#closed());
      }
      default:
        this.#at -= 1;
        return this.#options();
    }
  }

  /** To the closing parenthesis. */
  #closed(): PatternNode {
    const outer = this.#flags;
    this.#depth += 1;
    if (this.#depth > deepestNesting) throw this.#unsupported(`more than ${deepestNesting} groups in one another`);
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
    if (holds(node, 'look')) throw this.#unsupported('a look-around within a look-behind');
    if (holds(node, 'z') || holds(node, 'Z')) throw this.#invalid('the end of the text within a look-behind');
    const branches = node.kind === 'choice' ? node.nodes : [node];
    if (branches.some(isAllOptional)) throw this.#unsupported('a look-behind of parts that may all be missing');
    if (holds(node, 'atomic')) throw this.#unsupported('a group within a look-behind that gives nothing back');
    return { kind: 'look', node, behind: true, negative };
  }

  /** `(?i:…)`, or `(?i)`, which holds to the end of the group around it, alternatives included. */
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
        if (letter === ')') return enclosed(this.#choice());
        const node = this.#closed();
        this.#flags = outer;
        return enclosed(node);
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

  /** An escape that means a set of characters: what follows the backslash. */
  #classEscape(letter: string, inClass: boolean): CharacterTest | undefined {
    const shorthand = shorthandClass(letter.toLowerCase(), inClass);
    if (shorthand) return this.#withoutCase(letter === letter.toLowerCase() ? shorthand : complement(shorthand));
    if (letter.toLowerCase() !== 'p' || this.#peek() !== '{') return undefined;
    this.#next();
    let name = '';
    for (let character = this.#next(); character !== '}'; character = this.#next()) name += character;
    const negated = name.startsWith('^') !== (letter === 'P');
    const property = propertyClass(name.replace(/^\^/u, ''), inClass);
    if (property === undefined) throw this.#unsupported(`the property "${name}"`);
    return this.#withoutCase(negated ? complement(property) : property);
  }

  /** Oniguruma ignores `(?i)` for a property alone but not for one in a class, so none may depend on case. */
  #withoutCase(test: CharacterTest): CharacterTest {
    if (this.#flags.ignoreCase && dependsOnCase(test))
      throw this.#unsupported('a class of capital or small letters without case');
    return test;
  }

  /** An escape that means a single character: what follows the backslash. */
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

  /** Behind `[`, to the `]`. */
  #class(isNested = false): CharacterTest {
    this.#depth += 1;
    if (this.#depth > deepestNesting) throw this.#unsupported(`more than ${deepestNesting} classes in one another`);
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
      throw this.#unsupported('an intersection or an inner negation of classes without case');
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
      throw this.#unsupported('a "-" of uncertain meaning');
    this.#next();
    const end = this.#next();
    if (end === '\\' && shorthandClass(this.#peek()?.toLowerCase() ?? '', true))
      throw this.#invalid('a range to a class');
    const high = this.#classCharacter(end);
    if (high < low) throw this.#invalid('a range whose end is before its start');
    if (this.#peek() === '-' && this.#characters[this.#at + 1] !== ']')
      throw this.#unsupported('a "-" of uncertain meaning');
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
      throw this.#unsupported('letters without case that have another spelling of several letters, as "ss" and "ß"');
    return caseInsensitive(test, low === high ? low : undefined);
  }

  /** `[:alpha:]` or `[:^alpha:]` within a class. */
  #posixBracket(): CharacterTest | undefined {
    const match = /^:(\^?)([A-Za-z]+):\]/u.exec(this.#characters.slice(this.#at, this.#at + 20).join(''));
    if (match === null) return undefined;
    const test = posixClass(match[2]!);
    if (test === undefined) throw this.#invalid(`the class "[:${match[2]}:]", which there is not`);
    this.#at += match[0].length;
    return this.#withoutCase(match[1] === '^' ? complement(test) : test);
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
    if (character === undefined) throw this.#invalid('an end where more is expected');
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

/** A group of its own: what takes no characters may be repeated in it. */
function enclosed(node: PatternNode): PatternNode {
  return node.kind === 'character' || node.kind === 'repeat' ? node : { kind: 'sequence', nodes: [node] };
}

/**
 * Whether an anchor or a look-around is one of the ways of a node.
 * @param inGroups also in a group of its own
 */
function takesNothing(node: PatternNode, inGroups: boolean): boolean {
  if (node.kind === 'choice') return node.nodes.some((part) => takesNothing(part, inGroups));
  if (inGroups && node.kind === 'sequence' && node.nodes.length === 1) return takesNothing(node.nodes[0]!, inGroups);
  return node.kind === 'anchor' || node.kind === 'look';
}

function isAllOptional(node: PatternNode): boolean {
  if (node.kind !== 'sequence' || node.nodes.length < 2) return false;
  return node.nodes.every((part) => part.kind === 'repeat' && part.least === 0);
}
