/** Runs the stages of a workflow. Shared by all runtimes. */
import { SentvecError } from '@sentvec/core';
import type { AnyStep } from './step.ts';
import { checkSchema, maxInputBytes, toJsonValue } from './values.ts';
import type { AnyWorkflow, ForEachResult, Stage } from './workflow.ts';

/** A `forEach` stage. */
export type ForEachStage = Extract<Stage, { kind: 'for-each' }>;

/** A runtime's implementation of the two kinds of stages. `path` identifies the stage in the run: ids joined by `/`. */
export interface StageRunner {
  step(path: string, step: AnyStep, value: unknown): Promise<unknown>;
  forEach(path: string, stage: ForEachStage, input: unknown): Promise<ForEachResult<unknown, unknown>>;
}

/** Runs the stages of a workflow in order. @returns the value of the last stage */
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
 * Validates the input of a workflow.
 * @returns the input after the schema and conversion to JSON
 * @throws SentvecError `invalid-argument`
 */
export async function checkInput(workflow: AnyWorkflow, input: unknown): Promise<unknown> {
  const what = `The input of workflow "${workflow.id}"`;
  return toJsonValue(await checkSchema(workflow.input, input, what), what, maxInputBytes);
}

/**
 * Converts the input of a request to JSON and back, so that all processes get the same value.
 *
 * @throws SentvecError `invalid-argument` for a value that JSON cannot represent, or that has more than `maxInputBytes`
 */
export function plainInput(workflow: AnyWorkflow, input: unknown): unknown {
  if (input === undefined) return undefined;
  return toJsonValue(input, `The input of workflow "${workflow.id}"`, maxInputBytes);
}

/**
 * Finds the `forEach` stage or the step at a path of the workflow.
 * @throws SentvecError `job-refused` when there is none
 */
export function stageAt(workflow: AnyWorkflow, path: string): Exclude<Stage, { kind: 'workflow' }> {
  const [id, ...rest] = path.split('/');
  const stage = workflow.stages.find((candidate) => candidate.id === id);
  if (stage?.kind === 'workflow' && rest.length > 0) return stageAt(stage.workflow, rest.join('/'));
  if (stage && stage.kind !== 'workflow' && rest.length === 0) return stage;
  throw new SentvecError(
    'job-refused',
    `Workflow "${workflow.id}" has no stage "${path}". Check that producer and worker have the same version.`,
  );
}

/** The path of a `forEach` stage's source, next to that of its body. */
export function sourcePath(path: string, stage: ForEachStage): string {
  return path.slice(0, path.length - stage.id.length) + stage.source.id;
}
