/**
 * Finds the matches of a pattern in a text: a backtracking matcher with its own stack, which neither overflows nor runs
 * for ever. After much backtracking it begins to remember where it failed, so that time grows only with the length of
 * the text (as BitState of RE2 does). The extra work of look-arounds has a limit.
 */
import { SentvecError } from '../../errors.ts';
import { parsePattern } from './parse-pattern.ts';
import { lengthOf, startsOf, type Anchor, type PatternNode } from './pattern-tree.ts';
import { shorthandClass, type CharacterTest } from './character-classes.ts';
import { UnreadableText } from '../unreadable-text.ts';

/** Kinds of steps. They are numbers because they are compared at each character. */
const character = 0;
const run = 1;
const fork = 2;
const anchor = 3;
const look = 4;
const atomic = 5;
const mark = 6;
const again = 7;
const end = 8;

/** A step of a compiled pattern. Steps refer to one another by their indices in the program. */
interface Step {
  readonly kind: number;
  /** The step that follows. */
  next: number;
  /** Of a fork: where to go on when `next` fails. Of a look or an atomic group: where its own steps begin. */
  readonly other: number;
  /** Of a character or a run of characters: which of ASCII are in the class. Of a fork: which `next` may begin with. */
  readonly ascii: Uint8Array;
  /** Of a character or a run of characters: whether one beyond ASCII is in the class. */
  readonly test: CharacterTest;
  /** How many characters a run has, or a look behind goes back. */
  readonly least: number;
  readonly most: number;
  /** Of the end of a loop's iteration: the step that marked its begin. */
  readonly mark: number;
  /** A run that gives nothing back. */
  readonly possessive: boolean;
  /** A look that must not match. */
  readonly negative: boolean;
  /** A look behind. */
  readonly behind: boolean;
  readonly anchor: Anchor;
}

const anyAscii = new Uint8Array(128).fill(1);
const blankStep: Step = {
  kind: end,
  next: -1,
  other: -1,
  ascii: anyAscii,
  test: () => false,
  least: 0,
  most: 0,
  mark: -1,
  possessive: false,
  negative: false,
  behind: false,
  anchor: 'A',
};

/** The most steps of a pattern. Published patterns have a few hundred. */
const maxSteps = 2 ** 14;
/** The most steps of a search, besides those for each character of the text: a fraction of a second. */
const maxWork = 2 ** 24;
const maxWorkPerCharacter = 64;
const maxStackEntries = 2 ** 25;
/** Bits for what failed: 32 MB. */
const maxFailureBits = 2 ** 28;

/** UTF-16 code units of the character at a position, 1 at the end. */
function widthAt(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return unit >= 0xd800 && unit < 0xdc00 && at + 1 < text.length ? 2 : 1;
}

class Compiler {
  readonly steps: Step[] = [];

  step(step: Partial<Step>): number {
    return this.steps.push({ ...blankStep, ...step }) - 1;
  }

  /** Adds the steps of a node, which lead to the step `next`. Returns the index of the first. */
  add(node: PatternNode, next: number): number {
    if (this.steps.length > maxSteps) return next;
    switch (node.kind) {
      case 'character':
        return this.step({ kind: character, test: node.test, ascii: startsOf(node)!, next });
      case 'sequence':
        return node.nodes.reduceRight((following, part) => this.add(part, following), next);
      case 'choice':
        return node.nodes
          .slice(0, -1)
          .reduceRight(
            (other, part) =>
              this.step({ kind: fork, ascii: startsOf(part) ?? anyAscii, next: this.add(part, next), other }),
            this.add(node.nodes.at(-1)!, next),
          );
      case 'anchor':
        return this.step({ kind: anchor, anchor: node.anchor, next });
      case 'atomic':
        if (node.node.kind === 'repeat' && node.node.node.kind === 'character' && node.node.mode === 'greedy')
          return this.#repeat({ ...node.node, mode: 'possessive' }, next);
        return this.step({ kind: atomic, other: this.#separate(node.node), next });
      case 'look':
        return this.step({
          kind: look,
          other: this.#separate(node.node),
          behind: node.behind,
          negative: node.negative,
          ...lengthOf(node.node),
          next,
        });
      default:
        return this.#repeat(node, next);
    }
  }

  #separate(node: PatternNode): number {
    return this.add(node, this.step({ kind: end }));
  }

  #repeat(repeat: PatternNode & { readonly kind: 'repeat' }, next: number): number {
    const { node, least, most, mode } = repeat;
    if (node.kind === 'character' && mode !== 'lazy')
      return this.step({
        kind: run,
        test: node.test,
        ascii: startsOf(node)!,
        least,
        most,
        possessive: mode === 'possessive',
        next,
      });
    if (mode === 'possessive') return this.add({ kind: 'atomic', node: { ...repeat, mode: 'greedy' } }, next);
    const either = (inside: number): number =>
      this.step(mode === 'lazy' ? { kind: fork, next, other: inside } : { kind: fork, next: inside, other: next });
    let first = next;
    if (most === Infinity) {
      // `again` leaves the loop when an iteration has matched nothing: it ends where its mark says that it began.
      const last = this.step({ kind: again, other: next });
      const marked = this.step({ kind: mark, next: this.add(node, last) });
      first = either(marked);
      this.steps[last] = { ...this.steps[last]!, next: first, mark: marked };
    } else for (let count = least; count < most; count += 1) first = either(this.add(node, first));
    for (let count = 0; count < least; count += 1) first = this.add(node, first);
    return first;
  }
}

/**
 * What is still to be tried, three numbers each: a step, a position, and a kind, which for a run of characters is the
 * position down to which it may go back. Shared by all searches: only one runs at a time.
 */
let stack = new Int32Array(3 * 1024);
const alternative = -1;
/** Not to be tried: the mark of a loop as it was before. */
const formerMark = -2;
const isWord = shorthandClass('w', false)!;

/** A regular expression, ready to search. */
export class Pattern {
  readonly tree: PatternNode;
  readonly #steps: readonly Step[];
  readonly #first: number;
  /** Which characters of ASCII a match may start with. */
  readonly #starts: Uint8Array;
  /** For each loop in progress: where its current iteration began. */
  readonly #marks: Int32Array;
  #text = '';
  /** Bit by bit, which steps failed at which position: position × number of steps + step. */
  #failed: Uint8Array | undefined;
  #stop = 0;
  #size = 0;
  #backAt = 0;
  #work = 0;
  #workToNextCheck = 0;
  /** Steps that a search takes before it begins to remember where it failed. */
  #workBeforeMemory = 0;

  /** @throws SentvecError `invalid-model`, `unsupported-model` when sentvec cannot match it */
  constructor(source: string) {
    this.tree = parsePattern(source);
    const compiler = new Compiler();
    this.#first = compiler.add(this.tree, compiler.step({ kind: end }));
    this.#steps = compiler.steps;
    this.#starts = startsOf(this.tree) ?? anyAscii;
    this.#marks = new Int32Array(this.#steps.length);
    if (this.#steps.length <= maxSteps) return;
    throw new SentvecError('unsupported-model', `The pattern ${JSON.stringify(source.slice(0, 200))} is too large.`);
  }

  /**
   * The matches in a text, from left to right, none within another: start and end of the first, start and end of the
   * second, and so on. An empty match directly after another match does not count.
   * @throws UnreadableText when the search takes too long
   */
  matches(text: string): number[] {
    this.#text = text;
    this.#failed = undefined;
    this.#work = 0;
    this.#workBeforeMemory = 1000 + 16 * text.length;
    this.#workToNextCheck = this.#workBeforeMemory;
    const found: number[] = [];
    let from = 0;
    let previousEnd = -1;
    while (from <= text.length) {
      const start = this.#nextMatch(from);
      if (start === -1) break;
      const stop = this.#stop;
      if (stop === start && start === previousEnd) {
        from = start + widthAt(text, start);
        continue;
      }
      found.push(start, stop);
      from = stop;
      previousEnd = stop;
    }
    this.#text = '';
    this.#failed = undefined;
    return found;
  }

  /** The start of the next match, whose end is then in `#stop`; -1 for none. */
  #nextMatch(from: number): number {
    const text = this.#text;
    const starts = this.#starts;
    const { length } = text;
    for (let start = from; start < length; start += widthAt(text, start)) {
      const unit = text.charCodeAt(start);
      if (unit < 128 && starts[unit] === 0) continue;
      this.#stop = this.#matchAt(start);
      if (this.#stop !== -1) return start;
    }
    this.#stop = this.#matchAt(length);
    return this.#stop === -1 ? -1 : length;
  }

  /** The end of a match that starts at a position; -1 for none. */
  #matchAt(position: number): number {
    this.#size = 0;
    const stop = this.#run(this.#first, position, -1, false);
    if (stop !== -1 && this.#failed) this.#forget(stop);
    return stop;
  }

  /** Clears the failures at a position: steps that led to a match did not fail, and the next search begins at its end. */
  #forget(position: number): void {
    const first = position * this.#steps.length;
    for (let bit = first; bit < first + this.#steps.length; bit += 1) this.#failed![bit >> 3]! &= ~(1 << (bit & 7));
  }

  /** Whether a step was tried at a position before, without success; from now on it was. */
  #seen(memory: Uint8Array, step: number, position: number): boolean {
    const bit = position * this.#steps.length + step;
    const seen = (memory[bit >> 3]! & (1 << (bit & 7))) !== 0;
    memory[bit >> 3]! |= 1 << (bit & 7);
    return seen;
  }

  /** Called after much work: first begins to remember failures, then, after the most work, gives up. */
  #check(): void {
    const most = maxWork + maxWorkPerCharacter * (this.#text.length + 1);
    if (this.#work > most) throw tooLong();
    this.#failed ??= this.#newMemory();
    this.#workToNextCheck = most;
  }

  /** A bit for each step at each position; `undefined` where that would be too many. */
  #newMemory(): Uint8Array | undefined {
    const bits = (this.#text.length + 1) * this.#steps.length;
    if (bits > maxFailureBits) return undefined;
    this.#work += bits >> 8;
    return new Uint8Array((bits + 7) >> 3);
  }

  /**
   * Follows the steps from a position as far as they match, then goes back to what is still to be tried.
   * @param target where the match must end; -1 for anywhere
   * @param isInner whether this is a look-around or an atomic group: a match inside does not end the search; it gets a memory
   * of its own, dropped at the end
   * @returns the end of the match; -1 for none
   */
  #run(first: number, position: number, target: number, isInner: boolean): number {
    const steps = this.#steps;
    const bottom = this.#size;
    const memoryFrom = this.#work + this.#workBeforeMemory;
    let memory = isInner ? undefined : this.#failed;
    let index = first;
    let at = position;
    for (;;) {
      const step = steps[index]!;
      this.#work += 1;
      if (this.#work > this.#workToNextCheck) this.#check();
      if (memory === undefined && this.#work > memoryFrom) memory = isInner ? this.#newMemory() : this.#failed;
      const from = at;
      switch (step.kind) {
        case character: {
          const width = this.#width(step, at);
          at = width === 0 ? -1 : at + width;
          break;
        }
        case run:
          at = this.#runOfCharacters(index, at, target, memory);
          break;
        case fork:
          if (memory && this.#seen(memory, index, at)) at = -1;
          else if (this.#mayStart(step, at)) this.#push(step.other, at, alternative);
          else {
            index = step.other;
            continue;
          }
          break;
        case anchor:
          if (!isAt(step.anchor, this.#text, at)) at = -1;
          break;
        case look:
          if (this.#looks(step, at) === step.negative) at = -1;
          break;
        case atomic:
          at = this.#run(step.other, at, -1, true);
          break;
        case mark:
          this.#push(index, this.#marks[index]!, formerMark);
          this.#marks[index] = at;
          break;
        case end:
          if (target === -1 || at === target) {
            this.#size = bottom;
            return at;
          }
          at = -1;
          break;
        default:
      }
      if (at !== -1) {
        index = step.kind === again && this.#marks[step.mark] === from ? step.other : step.next;
        continue;
      }
      index = this.#back(bottom);
      if (index === -1) return -1;
      at = this.#backAt;
    }
  }

  /** Takes the last thing that is still to be tried: its step, and its position in `#backAt`. -1 when there is none. */
  #back(bottom: number): number {
    while (this.#size > bottom) {
      this.#size -= 3;
      const index = stack[this.#size]!;
      const at = stack[this.#size + 1]!;
      const kind = stack[this.#size + 2]!;
      if (kind === formerMark) {
        this.#marks[index] = at;
        continue;
      }
      this.#backAt = at;
      if (kind === alternative) return index;
      // A run that gave back a character, and may give back more: down to the position that is stored instead of the
      // kind.
      if (at > kind) this.#push(index, before(this.#text, at), kind);
      return this.#steps[index]!.next;
    }
    return -1;
  }

  #push(index: number, at: number, kind: number): void {
    if (this.#size + 3 > stack.length) {
      if (stack.length >= maxStackEntries) throw tooLong();
      const larger = new Int32Array(stack.length * 2);
      larger.set(stack);
      stack = larger;
    }
    stack[this.#size] = index;
    stack[this.#size + 1] = at;
    stack[this.#size + 2] = kind;
    this.#size += 3;
  }

  #mayStart({ ascii }: Step, at: number): boolean {
    const unit = this.#text.charCodeAt(at);
    return !(unit < 128) || ascii[unit] === 1;
  }

  /** UTF-16 code units of the character at a position when it is in the class of a step, else 0. */
  #width(step: Step, at: number): number {
    const unit = this.#text.charCodeAt(at);
    if (unit < 128) return step.ascii[unit]!;
    if (at >= this.#text.length) return 0;
    const code = this.#text.codePointAt(at)!;
    return step.test(code) ? (code > 0xffff ? 2 : 1) : 0;
  }

  /** As many characters of a class as there are; what may be given back is noted. Returns the end, or -1. */
  #runOfCharacters(index: number, at: number, target: number, memory: Uint8Array | undefined): number {
    const step = this.#steps[index]!;
    const { least, most, possessive } = step;
    const remembering = memory !== undefined && most === Infinity;
    let stop = at;
    let floor = at;
    let seen = memory !== undefined && (least === 0 || most < Infinity) && this.#seen(memory, index, at);
    for (let count = 0; count < most && !seen;) {
      const width = this.#width(step, stop);
      if (width === 0) {
        if (count < least) return -1;
        break;
      }
      stop += width;
      count += 1;
      if (count === least) floor = stop;
      seen = remembering && count >= least && this.#seen(memory, index, stop);
    }
    this.#work += stop - at;
    if (seen) {
      // Everything from here on was tried before.
      if (possessive || stop === floor) return -1;
      stop = before(this.#text, stop);
    }
    if (!possessive && stop > floor && (target !== -1 || this.#steps[step.next]!.kind !== end))
      this.#push(index, before(this.#text, stop), floor);
    return stop;
  }

  #looks({ other, behind, least, most }: Step, at: number): boolean {
    if (!behind) return this.#run(other, at, -1, true) !== -1;
    let start = at;
    for (let length = 0; length <= most; length += 1) {
      if (length >= least && this.#run(other, start, at, true) !== -1) return true;
      if (start === 0) return false;
      start = before(this.#text, start);
    }
    return false;
  }
}

function tooLong(): UnreadableText {
  return new UnreadableText('takes too long to search for a pattern of the tokenizer. Cut it into parts.');
}

/** The position of the character before a position. */
function before(text: string, at: number): number {
  const unit = text.charCodeAt(at - 1);
  return at > 1 && unit >= 0xdc00 && unit < 0xe000 ? at - 2 : at - 1;
}

function isAt(kind: Anchor, text: string, at: number): boolean {
  switch (kind) {
    case '^':
      return at === 0 || (at < text.length && text.charCodeAt(at - 1) === 10);
    case '$':
      return at === text.length || text.charCodeAt(at) === 10;
    case 'A':
      return at === 0;
    case 'z':
      return at === text.length;
    case 'Z':
      return at === text.length || (at === text.length - 1 && text.charCodeAt(at) === 10);
    default: {
      const isBoundary = isWordAt(text, at) !== (at > 0 && isWordAt(text, before(text, at)));
      return isBoundary === (kind === 'b');
    }
  }
}

function isWordAt(text: string, at: number): boolean {
  return at < text.length && isWord(text.codePointAt(at)!);
}
