import type { Telemetry } from 'bullmq';

/** The OpenTelemetry tracing of this process. */
export interface Tracing {
  readonly telemetry: Telemetry;
  /** Sends the remaining traces. */
  readonly close: () => Promise<void>;
}

/**
 * Starts OpenTelemetry tracing if `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. A trace
 * begins in the process that starts a run, and continues in the workers that execute its steps.
 *
 * @param service service name, used if `OTEL_SERVICE_NAME` is not set
 */
export async function startTracing(
  service: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Tracing | undefined> {
  const {
    OTEL_EXPORTER_OTLP_ENDPOINT: all,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: traces,
    OTEL_SERVICE_NAME: name = service,
  } = environment;
  if (!all && !traces) return undefined;
  const [
    { BullMQOtel },
    { BatchSpanProcessor, NodeTracerProvider },
    { OTLPTraceExporter },
    { resourceFromAttributes },
  ] = await Promise.all([
    import('bullmq-otel'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': name }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  provider.register();
  return { telemetry: new BullMQOtel({ tracerName: name }), close: () => provider.shutdown() };
}
