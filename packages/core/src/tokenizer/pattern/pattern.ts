/**
 * Finds the matches of a pattern in a text. A backtracking matcher with its own stack, which cannot overflow, and with
 * bounded time: after much backtracking it records the steps that failed at each position, so that its time is linear
 * in the length of the text (like BitState in RE2). The additional work of look-arounds is limited.
 */
import { SentvecError } from '../../errors.ts';
import { parsePattern } from './parse-pattern.ts';
import { lengthOf, firstCharactersOf, type Anchor, type PatternNode } from './pattern-tree.ts';
import { shorthandClass, type CharacterTest } from './character-classes.ts';
import { UnreadableText } from '../unreadable-text.ts';

/** Kinds of steps. They are numbers, which are compared faster than strings. */
const character = 0;
const run = 1;
const fork = 2;
const anchor = 3;
const look = 4;
const atomic = 5;
const mark = 6;
const again = 7;
const end = 8;

/** A step of a compiled pattern. Steps refer to each other by their indices. */
interface Step {
  readonly kind: number;
  /** The step that follows. */
  next: number;
  /**
   * For a fork: the step to continue with when `next` fails. For a look-around or an atomic group: its first inner
   * step.
   */
  readonly other: number;
  /**
   * For a character or a run: 1 for each ASCII character in the class. For a fork: 1 for each ASCII character with
   * which `next` may begin.
   */
  readonly ascii: Uint8Array;
  /** For a character or a run: whether a character outside of ASCII is in the class. */
  readonly test: CharacterTest;
  /** Minimum number of characters of a run, or by which a look-behind goes back. */
  readonly min: number;
  /** Maximum number of characters of a run, or by which a look-behind goes back. */
  readonly max: number;
  /** For the end of a loop's iteration: the step that marked its beginning. */
  readonly mark: number;
  /** Whether a run is possessive, that is, gives no characters back. */
  readonly possessive: boolean;
  /** Whether a look-around must not match. */
  readonly negative: boolean;
  /** Whether a look-around is a look-behind. */
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
  min: 0,
  max: 0,
  mark: -1,
  possessive: false,
  negative: false,
  behind: false,
  anchor: 'A',
};

/** Maximum number of steps of a pattern. Published patterns have a few hundred. */
const maxSteps = 2 ** 14;
/**
 * Maximum number of executed steps of a search, plus `maxWorkPerCharacter` for each character of the text: a fraction
 * of a second.
 */
const maxWork = 2 ** 24;
const maxWorkPerCharacter = 64;
const maxStackEntries = 2 ** 25;
/** Maximum number of bits for recording failed steps: 32 MB. */
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

  /** Adds the steps of a node, which continue with the step `next`. Returns the index of the first one. */
  add(node: PatternNode, next: number): number {
    if (this.steps.length > maxSteps) return next;
    switch (node.kind) {
      case 'character':
        return this.step({ kind: character, test: node.test, ascii: firstCharactersOf(node)!, next });
      case 'sequence':
        return node.nodes.reduceRight((following, part) => this.add(part, following), next);
      case 'choice':
        return node.nodes
          .slice(0, -1)
          .reduceRight(
            (other, part) =>
              this.step({ kind: fork, ascii: firstCharactersOf(part) ?? anyAscii, next: this.add(part, next), other }),
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
    const { node, min, max, mode } = repeat;
    if (node.kind === 'character' && mode !== 'lazy')
      return this.step({
        kind: run,
        test: node.test,
        ascii: firstCharactersOf(node)!,
        min,
        max,
        possessive: mode === 'possessive',
        next,
      });
    if (mode === 'possessive') return this.add({ kind: 'atomic', node: { ...repeat, mode: 'greedy' } }, next);
    const either = (inside: number): number =>
      this.step(mode === 'lazy' ? { kind: fork, next, other: inside } : { kind: fork, next: inside, other: next });
    let first = next;
    if (max === Infinity) {
      // `again` leaves the loop when an iteration has matched nothing, that is, ended at the position of its mark.
      const last = this.step({ kind: again, other: next });
      const marked = this.step({ kind: mark, next: this.add(node, last) });
      first = either(marked);
      this.steps[last] = { ...this.steps[last]!, next: first, mark: marked };
    } else for (let count = min; count < max; count += 1) first = either(this.add(node, first));
    for (let count = 0; count < min; count += 1) first = this.add(node, first);
    return first;
  }
}

/**
 * The backtracking stack, with three numbers per entry: a step, a position, and a kind, which for a run of characters
 * is the position down to which it may give back. Shared by all searches, since only one runs at a time.
 */
let stack = new Int32Array(3 * 1024);
const alternative = -1;
/** Kind of an entry that restores the former mark of a loop. */
const formerMark = -2;
const isWord = shorthandClass('w', false)!;

/** A compiled regular expression. */
export class Pattern {
  readonly tree: PatternNode;
  readonly #steps: readonly Step[];
  readonly #first: number;
  /** For each ASCII character, 1 if a match may start with it. */
  readonly #starts: Uint8Array;
  /** For each running loop: the position at which its current iteration began. */
  readonly #marks: Int32Array;
  #text = '';
  /** One bit for each failed step at a position, at index position × number of steps + step. */
  #failed: Uint8Array | undefined;
  #stop = 0;
  #size = 0;
  #backAt = 0;
  #work = 0;
  #workToNextCheck = 0;
  /** Number of executed steps after which a search begins to record failed steps. */
  #workBeforeMemory = 0;

  /** @throws SentvecError `invalid-model`, `unsupported-model` when it uses syntax that sentvec does not support */
  constructor(source: string) {
    this.tree = parsePattern(source);
    const compiler = new Compiler();
    this.#first = compiler.add(this.tree, compiler.step({ kind: end }));
    this.#steps = compiler.steps;
    this.#starts = firstCharactersOf(this.tree) ?? anyAscii;
    this.#marks = new Int32Array(this.#steps.length);
    if (this.#steps.length <= maxSteps) return;
    throw new SentvecError(
      'unsupported-model',
      `The pattern ${JSON.stringify(source.slice(0, 200))} has more than ${maxSteps} steps, which is more than sentvec supports.`,
    );
  }

  /**
   * The matches in a text from left to right, without overlaps, as a flat list of starts and ends. An empty match
   * directly after another match does not count.
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

  /** The start of the next match, or -1. Stores its end in `#stop`. */
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

  /** The end of a match that starts at a position, or -1. */
  #matchAt(position: number): number {
    this.#size = 0;
    const stop = this.#run(this.#first, position, -1, false);
    if (stop !== -1 && this.#failed) this.#forget(stop);
    return stop;
  }

  /**
   * Clears the recorded failures at the end of a match, where the next search begins: steps that led to the match did
   * not fail.
   */
  #forget(position: number): void {
    const first = position * this.#steps.length;
    for (let bit = first; bit < first + this.#steps.length; bit += 1) this.#failed![bit >> 3]! &= ~(1 << (bit & 7));
  }

  /** Whether a step was already recorded at a position; records it. */
  #seen(memory: Uint8Array, step: number, position: number): boolean {
    const bit = position * this.#steps.length + step;
    const seen = (memory[bit >> 3]! & (1 << (bit & 7))) !== 0;
    memory[bit >> 3]! |= 1 << (bit & 7);
    return seen;
  }

  /** Called after many steps: the first time it begins to record failures, the second time it gives up. */
  #check(): void {
    const max = maxWork + maxWorkPerCharacter * (this.#text.length + 1);
    if (this.#work > max) throw searchTooLongError();
    this.#failed ??= this.#newMemory();
    this.#workToNextCheck = max;
  }

  /** One bit for each step at each position; `undefined` if these would be too many. */
  #newMemory(): Uint8Array | undefined {
    const bits = (this.#text.length + 1) * this.#steps.length;
    if (bits > maxFailureBits) return undefined;
    this.#work += bits >> 8;
    return new Uint8Array((bits + 7) >> 3);
  }

  /**
   * Executes steps from a position; when one fails, continues with the last entry of the stack.
   * @param target position at which the match must end; -1: any
   * @param isInner whether this is a look-around or an atomic group, which records failures separately, since its match
   * does not end the search
   * @returns the end of the match, or -1
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
          if (this.#lookAround(step, at) === step.negative) at = -1;
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

  /** Pops the last entry of the stack: returns its step (-1 if there is none), and stores its position in `#backAt`. */
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
      // A run gives back one character; it may give back more, down to the position that is stored as its kind.
      if (at > kind) this.#push(index, before(this.#text, at), kind);
      return this.#steps[index]!.next;
    }
    return -1;
  }

  #push(index: number, at: number, kind: number): void {
    if (this.#size + 3 > stack.length) {
      if (stack.length >= maxStackEntries) throw searchTooLongError();
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

  /** Number of UTF-16 code units of the character at a position if it is in the class of a step, otherwise 0. */
  #width(step: Step, at: number): number {
    const unit = this.#text.charCodeAt(at);
    if (unit < 128) return step.ascii[unit]!;
    if (at >= this.#text.length) return 0;
    const code = this.#text.codePointAt(at)!;
    return step.test(code) ? (code > 0xffff ? 2 : 1) : 0;
  }

  /**
   * Matches as many characters of a class as possible, and pushes those that may be given back. Returns the end, or -1.
   */
  #runOfCharacters(index: number, at: number, target: number, memory: Uint8Array | undefined): number {
    const step = this.#steps[index]!;
    const { min, max, possessive } = step;
    const recordsFailures = memory !== undefined && max === Infinity;
    let stop = at;
    let floor = at;
    let seen = memory !== undefined && (min === 0 || max < Infinity) && this.#seen(memory, index, at);
    for (let count = 0; count < max && !seen;) {
      const width = this.#width(step, stop);
      if (width === 0) {
        if (count < min) return -1;
        break;
      }
      stop += width;
      count += 1;
      if (count === min) floor = stop;
      seen = recordsFailures && count >= min && this.#seen(memory, index, stop);
    }
    this.#work += stop - at;
    if (seen) {
      // All longer runs have already failed.
      if (possessive || stop === floor) return -1;
      stop = before(this.#text, stop);
    }
    if (!possessive && stop > floor && (target !== -1 || this.#steps[step.next]!.kind !== end))
      this.#push(index, before(this.#text, stop), floor);
    return stop;
  }

  #lookAround({ other, behind, min, max }: Step, at: number): boolean {
    if (!behind) return this.#run(other, at, -1, true) !== -1;
    let start = at;
    for (let length = 0; length <= max; length += 1) {
      if (length >= min && this.#run(other, start, at, true) !== -1) return true;
      if (start === 0) return false;
      start = before(this.#text, start);
    }
    return false;
  }
}

function searchTooLongError(): UnreadableText {
  return new UnreadableText('takes too long to match a pattern of the tokenizer. Split the text into shorter ones.');
}

/** The start of the character before a position. */
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
