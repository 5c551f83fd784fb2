/** Reproducible mutations of JSON: fields removed, of another type or out of range, and values in the wrong place. */
import type { Random } from './random-tokenizers.ts';

/** JSON texts of values that readers may not expect. */
const values = [
  'null',
  'true',
  'false',
  '0',
  '-1',
  '3',
  '0.5',
  '-0',
  '1e999',
  '2147483648',
  '9007199254740993',
  '""',
  '"x"',
  '"\\u0000"',
  '"\\ud800"',
  '"__proto__"',
  '"constructor"',
  `"${'y'.repeat(5000)}"`,
  '[]',
  '{}',
  '[null]',
  '[[]]',
  '{"type":null}',
  '{"type":"constructor"}',
  '{"type":"Sequence"}',
  '{"0":1,"length":5}',
  `${'['.repeat(3000)}${']'.repeat(3000)}`,
  '{"type":"Sequence","normalizers":[null],"pretokenizers":[null],"processors":[null]}',
  '{"type":"Lowercase"}',
  '{"type":"NFKC"}',
  '{"type":"Strip","strip_left":true,"strip_right":true}',
  '{"type":"Nmt"}',
  '{"type":"Replace","pattern":{"String":""},"content":"x"}',
  '{"type":"Replace","pattern":{"Regex":"["},"content":""}',
  '{"type":"Replace","pattern":{"String":" "},"content":"$&$&"}',
  '{"type":"Prepend","prepend":""}',
  '{"type":"Precompiled","precompiled_charsmap":"AAAA"}',
  '{"type":"Precompiled","precompiled_charsmap":"/////w=="}',
  '{"type":"Split","pattern":{"Regex":""},"behavior":"Isolated","invert":false}',
  '{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Removed","invert":true}',
  '{"type":"Split","pattern":{"Regex":"\\\\p{L}+|(?<!x)y|\\\\h"},"behavior":"Removed","invert":true}',
  '{"type":"Split","pattern":"x","behavior":"nope"}',
  '{"type":"Metaspace","replacement":"ab","prepend_scheme":"first"}',
  '{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}',
  '{"type":"UnicodeScripts"}',
  '{"type":"CharDelimiterSplit","delimiter":""}',
  '{"type":"FixedLength","length":0}',
  '{"type":"Whitespace"}',
  '{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":false}',
  '{"type":"BertProcessing","sep":["[SEP]",-1],"cls":["[CLS]",2]}',
  '{"type":"BertProcessing","sep":["[SEP]",99999],"cls":["[CLS]",2]}',
  '{"type":"TemplateProcessing","single":[null],"special_tokens":{}}',
  '{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}],"special_tokens":{}}',
];

type Container = Record<string, unknown>;

/** A JSON text with one or two random changes, truncated or with a random character; it may be invalid JSON. */
export function mutate(random: Random, json: string): string {
  if (random.chance(0.05)) return json.slice(0, random.below(json.length));
  if (random.chance(0.05)) {
    const at = random.below(json.length);
    return json.slice(0, at) + String.fromCharCode(random.below(256)) + json.slice(at + 1);
  }
  const root = JSON.parse(json) as Container;
  const inserted: string[] = [];
  const placeholder = (value: string): string => `\uE000${inserted.push(value) - 1}\uE001`;
  for (let count = random.chance(0.7) ? 1 : 2; count > 0; count -= 1) {
    const [parent, key] = random.pick(placesOf(root));
    if (random.chance(0.15)) delete parent[key];
    else if (random.chance(0.2) && typeof parent[key] === 'number') {
      const number = parent[key];
      parent[key] = random.pick([number + 1, number - 1, -number, number + 0.5, number * 2]);
    } else parent[key] = placeholder(random.pick(values));
  }
  if (random.chance(0.4))
    root[random.pick(['normalizer', 'pre_tokenizer', 'post_processor'])] = placeholder(random.pick(values));
  return JSON.stringify(root).replaceAll(/"\uE000(\d+)\uE001"/gu, (_, index: string) => inserted[Number(index)]!);
}

/** The containers and keys of all values; of a container with more than 30 keys, about 30 of them. */
function placesOf(value: unknown): (readonly [Container, string])[] {
  if (typeof value !== 'object' || value === null) return [];
  const container = value as Container;
  const keys = Object.keys(container);
  const step = Math.ceil(keys.length / 30);
  return keys
    .filter((_, index) => index % step === 0)
    .flatMap((key) => [[container, key] as const, ...placesOf(container[key])]);
}
