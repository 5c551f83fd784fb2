/** Walks through the stages of a workflow: what every runtime has in common. */
import { SentvecError } from '@sentvec/core';
import type { AnyStep } from './step.ts';
import { checkSchema, maxInputBytes, toJsonValue } from './values.ts';
import type { AnyWorkflow, ForEachResult, Stage } from './workflow.ts';

/** A `forEach` stage. */
export type ForEachStage = Extract<Stage, { kind: 'for-each' }>;

/** How a runtime executes the two kinds of stage. `path` names the stage in the run: ids joined by `/`. */
export interface StageRunner {
  step(path: string, step: AnyStep, value: unknown): Promise<unknown>;
  forEach(path: string, stage: ForEachStage, input: unknown): Promise<ForEachResult<unknown, unknown>>;
}

/** Runs the stages of a workflow one after the other. @returns the value of the last one */
export async function runStages(
  workflow: AnyWorkflow,
  input: unknown,
  runner: StageRunner,
  prefix = '',
): Promise<unknown> {
  let value = await checkInput(workflow, input);
  for (const stage of workflow.stages) {
    const path = prefix + stage.id;
    if (stage.kind === 'step') value = await runner.step(path, stage.step, value);
    else if (stage.kind === 'workflow') value = await runStages(stage.workflow, value, runner, `${path}/`);
    else value = await runner.forEach(path, stage, value);
  }
  return value;
}

/**
 * @returns the input as the workflow's schema and JSON have it
 * @throws SentvecError `invalid-argument`
 */
export async function checkInput(workflow: AnyWorkflow, input: unknown): Promise<unknown> {
  const what = `The input of workflow "${workflow.id}"`;
  return toJsonValue(await checkSchema(workflow.input, input, what), what, maxInputBytes);
}

/**
 * The input of a request as every process that works on the run gets it: written and parsed as JSON.
 *
 * @throws SentvecError `invalid-argument` for what JSON cannot hold, and for more than `maxInputBytes` of it
 */
export function plainInput(workflow: AnyWorkflow, input: unknown): unknown {
  if (input === undefined) return undefined;
  return toJsonValue(input, `The input of workflow "${workflow.id}"`, maxInputBytes);
}

/** The `forEach` stage or step at a path of the workflow. @throws SentvecError `job-refused` when there is none */
export function stageAt(workflow: AnyWorkflow, path: string): Exclude<Stage, { kind: 'workflow' }> {
  const [id, ...rest] = path.split('/');
  const stage = workflow.stages.find((candidate) => candidate.id === id);
  if (stage?.kind === 'workflow' && rest.length > 0) return stageAt(stage.workflow, rest.join('/'));
  if (stage && stage.kind !== 'workflow' && rest.length === 0) return stage;
  throw new SentvecError(
    'job-refused',
    `Workflow "${workflow.id}" has no stage "${path}". Do producer and worker have the same version?`,
  );
}

/** The path of a `forEach` stage's source: beside that of its body. */
export function sourcePath(path: string, stage: ForEachStage): string {
  return path.slice(0, path.length - stage.id.length) + stage.source.id;
}
