import type { OutputFormat } from '../request.ts';
import { arrowSink } from './arrow.ts';
import { jsonlSink } from './jsonl.ts';
import { npySink } from './npy.ts';
import { parquetSink } from './parquet.ts';
import type { Sink } from './sink.ts';

/** The sink of each output format. A further format is one file, and one line here. */
export const sinks: Readonly<Record<OutputFormat, Sink>> = { parquet: parquetSink, npy: npySink, arrow: arrowSink, jsonl: jsonlSink };
