// The roles of texts in a search (query, document), and which of a model's prompts and tasks belong to each.
import { SentvecError } from '../errors.ts';
import type { TextRole } from './embedder-types.ts';

/** Names of the prompts of each role, in the order in which sentence-transformers looks for them. */
const promptNames: Readonly<Record<TextRole, readonly string[]>> = {
  query: ['query'],
  document: ['document', 'passage', 'corpus'],
};

/** Names of the tasks of each role. Dots stand for any separator between words (`.`, `_`, `-`). */
const taskNames: Readonly<Record<TextRole, readonly string[]>> = {
  query: ['retrieval.query', 'retrieval'],
  document: ['retrieval.passage', 'retrieval.document', 'retrieval'],
};

/** Names of the folders of these tasks' adapters, with underscores instead of dots. */
export const folderNamesOfTasks: readonly string[] = [
  ...new Set(Object.values(taskNames).flatMap((names) => names.map((name) => name.replaceAll('.', '_')))),
];

/** The task for texts of a role, chosen from the tasks that a model has adapters for; `undefined` when none fits. */
export function taskFor(role: TextRole, tasks: readonly string[]): string | undefined {
  const plain = (task: string): string => task.replaceAll(/[_-]/gu, '.');
  return taskNames[role].map((name) => tasks.find((task) => plain(task) === name)).find((task) => task !== undefined);
}

/** Whether a task, such as `retrieval.passage`, is for documents. */
export function isDocumentTask(task: string): boolean {
  return taskFor('document', [task]) !== undefined;
}

/** @throws SentvecError `invalid-argument` for anything that is not a role */
export function checkRole(role: TextRole): void {
  if (Object.hasOwn(promptNames, role)) return;
  throw new SentvecError('invalid-argument', `"as" is ${JSON.stringify(role)}; it must be "query" or "document".`);
}

/** Whether a model has its own prompt for queries, for documents, or for the task whose adapter is used. */
export function hasRolePrompts(prompts: Readonly<Record<string, string>>, task: string | undefined): boolean {
  if (task !== undefined && Object.hasOwn(prompts, task)) return true;
  return Object.values(promptNames)
    .flat()
    .some((name) => Object.hasOwn(prompts, name) && prompts[name] !== '');
}

/**
 * Name of the prompt for texts of a role, as `encode_query` and `encode_document` of sentence-transformers 6.1 choose
 * it: the first of the role's names that the model has, even if its prompt is empty; otherwise the model's default
 * prompt, unless that belongs to the other role. With a task adapter, a prompt with the name of the task takes
 * precedence.
 */
export function promptNameFor(
  role: TextRole,
  prompts: Readonly<Record<string, string>>,
  defaultPrompt: string | undefined,
  task?: string,
): string | undefined {
  if (task !== undefined && Object.hasOwn(prompts, task)) return task;
  const own = promptNames[role].find((name) => Object.hasOwn(prompts, name));
  if (own !== undefined) return own;
  const isForTheOther = Object.values(promptNames).some((names) => names.includes(defaultPrompt ?? ''));
  return isForTheOther ? undefined : defaultPrompt;
}
