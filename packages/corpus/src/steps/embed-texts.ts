/** Embeds texts, and isolates poison texts: texts that make the model fail. */
import { SentvecError } from '@sentvec/core';

/** A text that the model cannot embed: its index in the list, and the error. */
export interface EmbeddingFailure {
  readonly index: number;
  readonly error: unknown;
}

/** The vectors of the texts that could be embedded, in order, and the texts that could not. */
export interface EmbeddedTexts<Embedded> {
  readonly embedded: Embedded;
  /** Indices of the embedded texts in the list. */
  readonly indices: readonly number[];
  readonly failures: readonly EmbeddingFailure[];
}

type Embed<Embedded> = (texts: readonly string[]) => Promise<Embedded>;

/** The probe text. When a single text fails, embedding this text shows whether the model works at all. */
const probeText = 'a';

/** How often all texts are tried together if they fail together but none fails alone. */
const maxAttempts = 2;

/**
 * Embeds texts, finds poison texts by bisection, and leaves them out. All other texts are then embedded together, so
 * that their vectors do not depend on the bisection.
 *
 * @throws the error of `embed` if no text is the cause: an abort, an invalid argument, or a backend that fails on the
 * probe text too
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

/** Whether a text may be the cause of the error. */
function isFaultOfText(error: unknown): boolean {
  return SentvecError.is(error) ? error.code === 'invalid-text' || error.code === 'backend-failed' : true;
}

/** The texts that an `invalid-text` error refers to. */
function namedRows(error: unknown, indices: readonly number[]): EmbeddingFailure[] | undefined {
  if (!SentvecError.is(error, 'invalid-text')) return undefined;
  const { row, rows = [row] } = error.details;
  if (!Array.isArray(rows)) return undefined;
  const named = rows.flatMap((position: unknown) =>
    typeof position === 'number' && indices[position] !== undefined ? [indices[position]] : [],
  );
  return named.length === 0 ? undefined : named.map((index) => ({ index, error }));
}

/** Finds the texts that fail alone, by bisection. */
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
