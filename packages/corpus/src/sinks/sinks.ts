import type { OutputFormat } from '../request.ts';
import type { Sink } from './sink.ts';

const loaders: Readonly<Record<OutputFormat, () => Promise<Sink>>> = {
  parquet: async () => (await import('./parquet.ts')).parquetSink,
  npy: async () => (await import('./npy.ts')).npySink,
  arrow: async () => (await import('./arrow.ts')).arrowSink,
  jsonl: async () => (await import('./jsonl.ts')).jsonlSink,
};

/**
 * The sink of an output format; its library is loaded when it is needed. A further format is one file, and one line
 * above.
 */
export async function loadSink(format: OutputFormat): Promise<Sink> {
  return loaders[format]();
}
