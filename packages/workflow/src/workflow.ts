/** Workflows: sequences of stages, defined as data, which a runtime executes. */
import { checkCount } from '@sentvec/platform';
import { SentvecError } from '@sentvec/core';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { initialTotal } from './ordered-progress.ts';
import type { RequestIdentity } from './request.ts';
import type { NeededModel } from './runtime.ts';
import { checkId, type AnyStep, type Source, type Step } from './step.ts';

/** Options of `forEach`. */
export interface ForEachOptions<Result = unknown, Total = unknown> {
  /**
   * Maximum number of concurrent items on all workers together.
   * @default the runtime decides
   */
  readonly concurrency?: number | undefined;
  /**
   * Reduces all results to one small JSON value, in the order of the items. Watchers of the run see the current value.
   * @default the total is `null`
   */
  readonly fold?: { readonly initial: Total; readonly add: (total: Total, result: Result) => Total } | undefined;
}

/** The value of a `forEach` stage, which is the input of the next stage. */
export interface ForEachResult<Input, Total> {
  /** The input of the step that yielded the items. */
  readonly input: Input;
  /** Number of items. */
  readonly count: number;
  /** The fold of all results; `null` without a fold. */
  readonly total: Total;
}

/** A stage of a workflow without its types, for runtimes. */
export type Stage =
  | { readonly kind: 'step'; readonly id: string; readonly step: AnyStep }
  | { readonly kind: 'workflow'; readonly id: string; readonly workflow: AnyWorkflow }
  | {
      readonly kind: 'for-each';
      /** The id of the body. */
      readonly id: string;
      readonly source: AnyStep;
      readonly body: AnyStep | AnyWorkflow;
      readonly options: ForEachOptions;
    };

/** A workflow without its types, for runtimes. */
export interface AnyWorkflow {
  readonly kind: 'workflow';
  readonly id: string;
  /** See {@link defineWorkflow}. */
  readonly version?: string | undefined;
  /** See {@link defineWorkflow}. */
  readonly identify?: ((input: never) => Promise<RequestIdentity>) | undefined;
  /** See {@link defineWorkflow}. */
  readonly model?: ((input: never) => NeededModel | undefined) | undefined;
  readonly input: StandardSchemaV1;
  readonly stages: readonly Stage[];
}

/** A sequence of stages. Immutable: each method returns a new workflow. Made by {@link defineWorkflow}. */
export interface Workflow<Input, Output> extends AnyWorkflow {
  /** For the type checker only. */
  readonly '~workflow': (input: Input) => Output;
  /** Adds a step. Its input is the output of the previous stage. */
  step<Next>(step: Step<Output, Next>): Workflow<Input, Next>;
  /** Adds another workflow as one stage. */
  step<Next>(workflow: Workflow<Output, Next>): Workflow<Input, Next>;
  /** Adds a step that yields items. `forEach` must follow. */
  step<Item>(source: Source<Output, Item>): Sequence<Input, Output, Item>;
}

/** A workflow whose last step yields items. */
export interface Sequence<Input, SourceInput, Item> {
  /** Adds a step or a workflow that is executed for each item. Items are read gradually, never all at once. */
  forEach<Result, Total = null>(
    body: Step<Item, Result> | Workflow<Item, Result>,
    options?: ForEachOptions<Result, Total>,
  ): Workflow<Input, ForEachResult<SourceInput, Total>>;
}

/**
 * Defines a workflow. Add stages with `step` and `forEach`. A runtime executes it.
 *
 * @throws SentvecError `invalid-argument`
 */
export function defineWorkflow<Input extends StandardSchemaV1>(definition: {
  /** Letters, digits and `-`. Workers identify the workflow by it. */
  readonly id: string;
  /**
   * Any string. Change it when the same input gives other items or other results than before, so that a run of the old
   * version is never continued with the new one. See {@link workflowVersion}.
   */
  readonly version?: string | undefined;
  /** Any Standard Schema. */
  readonly input: Input;
  /**
   * Called when a run is started. Returns what distinguishes the request from others with the same input, and which
   * outputs only one run may write at a time.
   * @default requests with equal input are the same while their run is live, and no outputs are exclusive
   */
  readonly identify?: ((input: StandardSchemaV1.InferOutput<Input>) => Promise<RequestIdentity>) | undefined;
  /**
   * Returns the model that the steps of a run need, for its input. In a queue, only workers with this model execute them.
   * @default no model: all workers with the workflow execute them
   */
  readonly model?: ((input: StandardSchemaV1.InferOutput<Input>) => NeededModel | undefined) | undefined;
}): Workflow<StandardSchemaV1.InferInput<Input>, StandardSchemaV1.InferOutput<Input>> {
  checkId('workflow', definition.id);
  return new WorkflowBuilder(definition, []) as unknown as Workflow<
    StandardSchemaV1.InferInput<Input>,
    StandardSchemaV1.InferOutput<Input>
  >;
}

class WorkflowBuilder implements AnyWorkflow {
  readonly kind = 'workflow';
  readonly id: string;
  readonly version: string | undefined;
  readonly identify: AnyWorkflow['identify'];
  readonly model: AnyWorkflow['model'];
  readonly input: StandardSchemaV1;
  readonly stages: readonly Stage[];

  constructor({ id, version, identify, model, input }: Omit<AnyWorkflow, 'kind' | 'stages'>, stages: readonly Stage[]) {
    this.id = id;
    this.version = version;
    this.identify = identify;
    this.model = model;
    this.input = input;
    this.stages = stages;
  }

  step(next: AnyStep | AnyWorkflow): WorkflowBuilder {
    return this.#with(
      next.kind === 'step'
        ? { kind: 'step', id: next.id, step: next }
        : { kind: 'workflow', id: next.id, workflow: next },
      this.stages,
    );
  }

  forEach(body: AnyStep | AnyWorkflow, options: ForEachOptions = {}): WorkflowBuilder {
    const source = this.stages.at(-1);
    if (source?.kind !== 'step') {
      throw new SentvecError(
        'invalid-argument',
        `In workflow "${this.id}", forEach must follow a step that yields items.`,
      );
    }
    const { concurrency, fold } = options;
    initialTotal(fold);
    if (concurrency !== undefined) checkCount(concurrency, 'concurrency');
    return this.#with({ kind: 'for-each', id: body.id, source: source.step, body, options }, this.stages.slice(0, -1));
  }

  #with(stage: Stage, before: readonly Stage[]): WorkflowBuilder {
    const taken = new Set(
      before.flatMap((other) => (other.kind === 'for-each' ? [other.id, other.source.id] : [other.id])),
    );
    const ids = stage.kind === 'for-each' ? [stage.source.id, stage.id] : [stage.id];
    const twice = ids.find((id, index) => taken.has(id) || ids.indexOf(id) !== index);
    if (twice !== undefined)
      throw new SentvecError('invalid-argument', `Workflow "${this.id}" has two stages with the id "${twice}".`);
    return new WorkflowBuilder(this, [...before, stage]);
  }
}
