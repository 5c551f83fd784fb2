import type { Telemetry } from 'bullmq';

/** The OpenTelemetry traces of this process. */
export interface Tracing {
  readonly telemetry: Telemetry;
  /** Sends the remaining traces. */
  readonly close: () => Promise<void>;
}

/**
 * OpenTelemetry traces, when `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) says where to send
 * them. A trace begins where a run is started, and continues in the workers that take part in it.
 *
 * @param service name of the service, unless `OTEL_SERVICE_NAME` says otherwise
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
