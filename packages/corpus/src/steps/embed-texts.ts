/** Embeds texts of which some may make the model fail: finds those, and leaves them out. */
import { SentvecError } from '@sentvec/core';

/** A text that the model cannot embed: its index in the list, and why. */
export interface EmbeddingFailure {
  readonly index: number;
  readonly error: unknown;
}

/** The vectors of the texts that can be embedded, in order, and the texts that cannot. */
export interface EmbeddedTexts<Embedded> {
  readonly embedded: Embedded;
  /** Indices of the embedded texts in the list. */
  readonly indices: readonly number[];
  readonly failures: readonly EmbeddingFailure[];
}

type Embed<Embedded> = (texts: readonly string[]) => Promise<Embedded>;

/** The probe text: it shows whether the model works at all, when a text fails alone. */
const probeText = 'a';

/** How often all texts are tried together when none of them fails alone. */
const maxAttempts = 2;

/**
 * Embeds texts of which some may be poison texts: finds those by bisection and leaves them out. The others are embedded
 * together, so that their vectors do not depend on how the poison texts were found.
 *
 * @throws whatever `embed` throws when the fault is not that of a text: an abort, a wrong argument, a backend that
 * fails on the probe text too
 */
export async function embedTexts<Embedded>(
  texts: readonly string[],
  embed: Embed<Embedded>,
): Promise<EmbeddedTexts<Embedded>> {
  const failures: EmbeddingFailure[] = [];
  let indices = texts.map((_, index) => index);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const embedded = await embed(indices.map((index) => texts[index]!));
      return { embedded, indices, failures: failures.sort((a, b) => a.index - b.index) };
    } catch (error) {
      if (!isFaultOfText(error)) throw error;
      const found = namedRows(error, indices) ?? (await findFailures(indices, texts, embed));
      if (found.length === 0 && attempt >= maxAttempts) throw error;
      if (found.length > 0) attempt = 0;
      failures.push(...found);
      const failed = new Set(found.map(({ index }) => index));
      indices = indices.filter((index) => !failed.has(index));
    }
  }
}

/** Whether leaving out a text may avoid the error. */
function isFaultOfText(error: unknown): boolean {
  return SentvecError.is(error) ? error.code === 'invalid-text' || error.code === 'backend-failed' : true;
}

/** The texts that an `invalid-text` error names. */
function namedRows(error: unknown, indices: readonly number[]): EmbeddingFailure[] | undefined {
  if (!SentvecError.is(error, 'invalid-text')) return undefined;
  const { row, rows = [row] } = error.details;
  if (!Array.isArray(rows)) return undefined;
  const named = rows.flatMap((position: unknown) =>
    typeof position === 'number' && indices[position] !== undefined ? [indices[position]] : [],
  );
  return named.length === 0 ? undefined : named.map((index) => ({ index, error }));
}

/** Bisects down to the texts that fail alone. */
async function findFailures(
  indices: readonly number[],
  texts: readonly string[],
  embed: Embed<unknown>,
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
      await embed([probeText]);
      found.push({ index: half[0]!, error });
    }
  }
  return found;
}

async function errorOf(texts: readonly string[], embed: Embed<unknown>): Promise<unknown> {
  try {
    await embed(texts);
    return undefined;
  } catch (error) {
    if (!isFaultOfText(error)) throw error;
    return error ?? new Error('unknown');
  }
}
