// Reads from a model's files, without loading the model, which prompt, route and task it uses for queries and
// documents.
import { SentvecError } from '../errors.ts';
import { hasRouter } from '../model-folder/router-module.ts';
import { readModelFolder } from '../model-folder/read-model-folder.ts';
import type { ModelFiles } from '../types.ts';
import { tasksWithAdapters } from './assemble-parts.ts';
import type { TextRole } from './embedder-types.ts';
import { findKnownPrompts } from './known-prompts.ts';
import { hasRolePrompts, promptNameFor, taskFor } from './text-role.ts';

/** Prompt, route and task that the texts of a role get: see `embedQuery` and `embedDocuments`. */
export interface RoleDescription {
  /** Text that is put before each text. Empty: none. */
  readonly prompt: string;
  readonly route: string | undefined;
  readonly task: string | undefined;
  /** Where the prompt comes from if it is not in the folder, or why the model does not accept texts of this role. */
  readonly note: string | undefined;
}

/**
 * The prompt, the route and the task that `embedQuery` or `embedDocuments` would use.
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function describeRole(files: ModelFiles, role: TextRole): Promise<RoleDescription> {
  const task = taskFor(role, await tasksWithAdapters(files));
  try {
    const folder = await readModelFolder(files, { route: (await hasRouter(files)) ? role : undefined });
    const { prompts: own, defaultPrompt, route } = folder;
    const known = hasRolePrompts(own, task) ? undefined : await findKnownPrompts(files);
    const all: Readonly<Record<string, string>> = { ...own, ...known?.prompts };
    const name = promptNameFor(role, all, defaultPrompt, task);
    return { prompt: name === undefined ? '' : all[name]!, route, task, note: known?.note };
  } catch (error) {
    if (!SentvecError.is(error, 'invalid-argument')) throw error;
    return { prompt: '', route: undefined, task, note: error.message };
  }
}
