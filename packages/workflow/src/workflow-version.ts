import { createHash } from 'node:crypto';
import type { AnyStep } from './step.ts';
import type { AnyWorkflow, Stage } from './workflow.ts';

/**
 * Names what a workflow does: a hash of its `version`, of its stages in their order, and of the source text of their
 * functions. A run that began with one is not continued with another. The hash cannot see what those functions call:
 * raise the `version` when that changes.
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
