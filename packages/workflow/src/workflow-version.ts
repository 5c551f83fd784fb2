import { createHash } from 'node:crypto';
import type { AnyStep } from './step.ts';
import type { AnyWorkflow, Stage } from './workflow.ts';

/**
 * The version of a workflow: a hash of its `version` option, its stages and the source text of their functions. A run
 * is never continued with another version. The hash does not include functions that the steps call, so increase the
 * `version` option when these change.
 *
 * @returns 16 hexadecimal digits
 */
export function workflowVersion(workflow: AnyWorkflow): string {
  const text = JSON.stringify(describeWorkflow(workflow));
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function describeWorkflow({ id, version, stages }: AnyWorkflow): unknown {
  return [id, version ?? null, stages.map(describeStage)];
}

function describeStage(stage: Stage): unknown {
  if (stage.kind === 'step') return describeBody(stage.step);
  if (stage.kind === 'workflow') return describeWorkflow(stage.workflow);
  const { fold } = stage.options;
  const total = fold ? [fold.initial, String(fold.add)] : null;
  return [describeBody(stage.source), describeBody(stage.body), total];
}

function describeBody(body: AnyStep | AnyWorkflow): unknown {
  return body.kind === 'step' ? [body.id, String(body.run)] : describeWorkflow(body);
}
