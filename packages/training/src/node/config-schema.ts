import { toJsonSchema } from '@valibot/to-json-schema';
import { configSchema } from './config.ts';

/**
 * The JSON Schema (draft 7) of a training configuration. A file that names it as its `$schema` is checked while it is
 * typed.
 */
export function trainingConfigSchema(): Readonly<Record<string, unknown>> {
  return { title: 'A training configuration of sentvec', ...toJsonSchema(configSchema, { typeMode: 'input' }) };
}
