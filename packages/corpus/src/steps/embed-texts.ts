import { SentvecError, type Embedded } from '@sentvec/core';

/** A text that the model cannot embed: its place in the list, and why. */
export interface EmbeddingFailure {
  readonly index: number;
  readonly error: unknown;
}

/** The vectors of the texts that can be embedded, in order, and the texts that cannot. */
export interface EmbeddedTexts {
  readonly embedded: Embedded;
  /** Places of the embedded texts in the list. */
  readonly kept: readonly number[];
  readonly failures: readonly EmbeddingFailure[];
}

type Embed = (texts: readonly string[]) => Promise<Embedded>;

/** Shows whether the model works at all, when a text fails alone. */
const harmlessText = 'a';

/** How often all texts are tried together when none of them fails alone. */
const attempts = 2;

/**
 * Embeds texts of which some may be poisonous: finds those by bisection and leaves them out. The others are embedded
 * together, so that their vectors do not depend on the way in which the poisonous ones were found.
 *
 * @throws whatever `embed` throws when the fault is not that of a text: an abort, a wrong argument, a backend that
 * fails on a harmless text too
 */
export async function embedTexts(texts: readonly string[], embed: Embed): Promise<EmbeddedTexts> {
  const failures: EmbeddingFailure[] = [];
  let kept = texts.map((_, index) => index);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const embedded = await embed(kept.map((index) => texts[index]!));
      return { embedded, kept, failures: failures.sort((a, b) => a.index - b.index) };
    } catch (error) {
      if (!isFaultOfText(error)) throw error;
      const found = namedRows(error, kept) ?? (await findFailures(kept, texts, embed));
      if (found.length === 0 && attempt >= attempts) throw error;
      if (found.length > 0) attempt = 0;
      failures.push(...found);
      const failed = new Set(found.map(({ index }) => index));
      kept = kept.filter((index) => !failed.has(index));
    }
  }
}

/** Whether leaving out a text may help. */
function isFaultOfText(error: unknown): boolean {
  return SentvecError.is(error) ? error.code === 'invalid-text' || error.code === 'backend-failed' : true;
}

/** The texts that an `invalid-text` error names. */
function namedRows(error: unknown, kept: readonly number[]): EmbeddingFailure[] | undefined {
  if (!SentvecError.is(error, 'invalid-text')) return undefined;
  const { row, rows = [row] } = error.details;
  if (!Array.isArray(rows)) return undefined;
  const places = rows.flatMap((place: unknown) =>
    typeof place === 'number' && kept[place] !== undefined ? [kept[place]] : [],
  );
  return places.length === 0 ? undefined : places.map((index) => ({ index, error }));
}

/** Bisects down to the texts that fail alone. */
async function findFailures(
  indices: readonly number[],
  texts: readonly string[],
  embed: Embed,
): Promise<EmbeddingFailure[]> {
  const middle = Math.ceil(indices.length / 2);
  const halves = indices.length === 1 ? [indices] : [indices.slice(0, middle), indices.slice(middle)];
  const found: EmbeddingFailure[] = [];
  for (const half of halves) {
    const error = await errorOf(
      half.map((index) => texts[index]!),
      embed,
    );
    if (error === undefined) continue;
    if (half.length > 1) {
      found.push(...(await findFailures(half, texts, embed)));
    } else {
      await embed([harmlessText]);
      found.push({ index: half[0]!, error });
    }
  }
  return found;
}

async function errorOf(texts: readonly string[], embed: Embed): Promise<unknown> {
  try {
    await embed(texts);
    return undefined;
  } catch (error) {
    if (!isFaultOfText(error)) throw error;
    return error ?? new Error('unknown');
  }
}
