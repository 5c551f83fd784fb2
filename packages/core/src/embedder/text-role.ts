// What a text is in a search, and which of a model's prompts belongs to it.
import { SentvecError } from '../errors.ts';
import type { TextRole } from './embedder-types.ts';

/** Names of prompts by the role that they are for, in the order in which sentence-transformers looks for them. */
const promptNames: Readonly<Record<TextRole, readonly string[]>> = {
  query: ['query'],
  document: ['document', 'passage', 'corpus'],
};

/** @throws SentvecError `invalid-argument` for anything that is no role */
export function checkRole(role: TextRole): void {
  if (Object.hasOwn(promptNames, role)) return;
  throw new SentvecError('invalid-argument', `"as" is ${JSON.stringify(role)}; it must be "query" or "document".`);
}

/** Whether a model has words of its own for queries or for documents. */
export function hasRolePrompts(prompts: Readonly<Record<string, string>>): boolean {
  return Object.values(promptNames)
    .flat()
    .some((name) => Object.hasOwn(prompts, name) && prompts[name] !== '');
}

/**
 * Name of the prompt for texts of a role, as `encode_query` and `encode_document` of sentence-transformers 6.1 choose it:
 * the first of its names that the model has, be it empty. Without one, the model's default, unless that is for the other
 * role.
 */
export function promptNameFor(
  role: TextRole,
  prompts: Readonly<Record<string, string>>,
  defaultPrompt: string | undefined,
): string | undefined {
  const own = promptNames[role].find((name) => Object.hasOwn(prompts, name));
  if (own !== undefined) return own;
  const isForTheOther = Object.values(promptNames).some((names) => names.includes(defaultPrompt ?? ''));
  return isForTheOther ? undefined : defaultPrompt;
}
