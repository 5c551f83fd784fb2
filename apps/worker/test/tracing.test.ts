import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { queueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow } from '@sentvec/workflow';
import { startTracing } from '@sentvec/worker/tracing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Fleet, texts, tinyModel } from './fleet.ts';

interface Span {
  readonly service: string;
  readonly traceId: string;
  readonly name: string;
}

const spans: Span[] = [];
let collector: Server;
let endpoint: string;
let fleet: Fleet;

interface ExportedTraces {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[];
    };
    readonly scopeSpans: readonly { readonly spans: readonly { readonly traceId: string; readonly name: string }[] }[];
  }[];
}

function collect({ resourceSpans }: ExportedTraces): void {
  for (const { resource, scopeSpans } of resourceSpans) {
    const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
    for (const { traceId, name } of scopeSpans.flatMap((scope) => scope.spans)) spans.push({ service, traceId, name });
  }
}

beforeAll(async () => {
  fleet = await Fleet.open();
  collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      collect(JSON.parse(Buffer.concat(chunks).toString()) as ExportedTraces);
      response.setHeader('Content-Type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await fleet.close();
  collector.close();
});

it('a trace spans the producer and the worker', async () => {
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = endpoint;
  const tracing = await startTracing('producer');
  delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  const corpus = await fleet.corpus('corpus.jsonl', texts(50));
  await fleet.start({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  const runtime = await queueRuntime({ url: fleet.redis.url, ...(tracing && { telemetry: tracing.telemetry }) });
  await (
    await runtime.start(embedCorpusWorkflow(), {
      model: tinyModel,
      request: { inputs: [corpus], output: fleet.path('out') },
    })
  ).result();
  await runtime.close();
  await tracing?.close();
  await fleet.stopWorkers();
  const begun = spans.filter(({ service }) => service === 'producer');
  expect(begun.length).toBeGreaterThan(0);
  const traces = new Set(begun.map(({ traceId }) => traceId));
  const continued = spans.filter(({ service, traceId }) => service === 'sentvec-worker' && traces.has(traceId));
  expect(continued.map(({ name }) => name)).toEqual(
    expect.arrayContaining([expect.stringMatching(/runs/), expect.stringMatching(/steps/)]),
  );
});

it('nothing is traced unless an OTEL_EXPORTER_OTLP variable is set', async () => {
  expect(await startTracing('quiet', {})).toBeUndefined();
});
