import { parse } from 'csv-parse/sync';

/**
 * The fields of each record, or why a record cannot be read. A quote within an unquoted field is a part of the text.
 */
export function parseCsv(records: readonly Buffer[], delimiter: string): (readonly string[] | Error)[] {
  const options = {
    delimiter,
    relax_quotes: true,
    relax_column_count: true,
    skip_empty_lines: true,
    record_delimiter: ['\r\n', '\n'],
  };
  try {
    const all = parse(Buffer.concat(records.flatMap((record) => [record, Buffer.from('\n')])), options);
    if (all.length === records.length) return all;
  } catch {
    // One of the records is broken: which one, the loop below finds out.
  }
  return records.map((record) => {
    try {
      const [fields = [''], ...more] = parse(record, options);
      return more.length === 0 ? fields : new Error('its quotes do not pair up');
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  });
}
