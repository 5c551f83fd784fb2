import { SentvecError } from '@sentvec/core';
import type { StandardSchemaV1 } from '@standard-schema/spec';

/**
 * Checks a value with any Standard Schema library (valibot, zod, arktype …) and returns what the schema makes of it.
 * `what` names the value in the message, for example `The input of step "embed"`.
 *
 * @throws SentvecError `invalid-argument` with every issue and its path; `details.issues` has them for programs
 */
export async function checkSchema<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.InferOutput<Schema>> {
  const result = await schema['~standard'].validate(value);
  if (!result.issues) return result.value;
  const issues = result.issues.map(describeIssue);
  throw new SentvecError('invalid-argument', `${what} does not fit its schema: ${issues.join('; ')}.`, { issues });
}

function describeIssue({ message, path }: StandardSchemaV1.Issue): string {
  const keys = (path ?? []).map((segment) => String(typeof segment === 'object' ? segment.key : segment));
  return keys.length > 0 ? `${keys.join('.')}: ${message}` : message;
}
