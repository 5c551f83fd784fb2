// The Prometheus metrics of a worker.
import type { Receipt } from '@sentvec/core';
import type { QueueOverview, StepReport, WorkerObserver } from '@sentvec/queue';
import type { EmbeddedChunk } from '@sentvec/workflow';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

const seconds = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];

/**
 * Counters and histograms of a worker. The default metrics of prom-client, which include the event-loop lag, are added.
 */
export class Metrics implements WorkerObserver {
  readonly registry: Registry = new Registry();
  /** Totals of this process, for the dashboard. */
  readonly counts: { rows: number; tokens: number; truncated: number; deadLetters: number; failures: number } = {
    rows: 0,
    tokens: 0,
    truncated: 0,
    deadLetters: 0,
    failures: 0,
  };
  readonly #rows = this.#counter('rows', 'Rows whose vector this worker computed.');
  readonly #tokens = this.#counter('tokens', 'Tokens that this worker encoded.');
  readonly #truncated = this.#counter('truncated', "Texts that were truncated to the model's maximum length.");
  readonly #deadLetters = this.#counter('dead_letters', 'Rows that could not be embedded.');
  readonly #refused = this.#counter('refused_jobs', 'Jobs that were refused.');
  readonly #recovered = this.#counter(
    'recovered_jobs',
    'Jobs of dead or frozen workers that were put back into the queue.',
  );
  readonly #steps: Counter<'stage' | 'outcome'>;
  readonly #stepSeconds: Histogram<'stage'>;
  readonly #modelSeconds: Histogram;
  readonly #fill: Histogram;

  constructor(overview: QueueOverview) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#steps = new Counter({
      name: 'sentvec_steps_total',
      help: 'Attempts at steps, by outcome.',
      labelNames: ['stage', 'outcome'],
      registers,
    });
    this.#stepSeconds = new Histogram({
      name: 'sentvec_step_seconds',
      help: 'Duration of an attempt at a step.',
      labelNames: ['stage'],
      buckets: seconds,
      registers,
    });
    this.#modelSeconds = new Histogram({
      name: 'sentvec_model_seconds',
      help: 'Duration of tokenizing and encoding the texts of a chunk.',
      buckets: seconds,
      registers,
    });
    this.#fill = new Histogram({
      name: 'sentvec_batch_fill',
      help: 'Share of the computed token positions that were not padding.',
      buckets: [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1],
      registers,
    });
    // Every worker reports the depth of the whole queue, read at each scrape.
    const depth = new Gauge({
      name: 'sentvec_queue_depth',
      help: 'Steps in the queue, by their state.',
      labelNames: ['state'],
      registers: [],
      async collect() {
        this.reset();
        // While Redis is unreachable the depth is unknown, but the metrics of this worker are still reported.
        const counts = await overview.counts().catch(() => ({}));
        for (const [state, count] of Object.entries(counts)) this.set({ state }, count);
      },
    });
    this.registry.registerMetric(depth);
  }

  readonly stepEnded = ({ stage, outcome, milliseconds, result }: StepReport): void => {
    this.#steps.inc({ stage, outcome });
    this.#stepSeconds.observe({ stage }, milliseconds / 1000);
    if (outcome === 'failed') this.counts.failures += 1;
    if (outcome === 'completed' && isEmbeddedChunk(result)) this.#chunkEnded(result);
  };

  embedded(receipt: Receipt): void {
    this.#modelSeconds.observe(receipt.milliseconds / 1000);
    this.#fill.observe(1 - receipt.paddingWaste);
  }

  readonly refused = (): void => this.#refused.inc();

  readonly recovered = (): void => this.#recovered.inc();

  #chunkEnded({ rows, tokens, truncated, rejected, reused }: EmbeddedChunk): void {
    if (reused) return;
    this.#rows.inc(rows);
    this.#tokens.inc(tokens);
    this.#truncated.inc(truncated);
    this.#deadLetters.inc(rejected);
    this.counts.rows += rows;
    this.counts.tokens += tokens;
    this.counts.truncated += truncated;
    this.counts.deadLetters += rejected;
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name: `sentvec_${name}_total`, help, registers: [this.registry] });
  }
}

function isEmbeddedChunk(result: unknown): result is EmbeddedChunk {
  return typeof result === 'object' && result !== null && 'rows' in result && 'tokens' in result && 'reused' in result;
}
