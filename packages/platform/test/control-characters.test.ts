import { escapeControlCharacters, SentvecError } from '@sentvec/platform';
import { expect, test } from 'vitest';

test('control characters are written out; letters of any script, tabs and line feeds stay', () => {
  expect(escapeControlCharacters('x.\u001b]0;owned\u0007\u001b[2J\u009b\r\u202ePooling')).toBe(
    'x.\\u001b]0;owned\\u0007\\u001b[2J\\u009b\\u000d\\u202ePooling',
  );
  const text = 'Zoë 文 عربي 👩‍🚀\ttab\nline';
  expect(escapeControlCharacters(text)).toBe(text);
});

test('the message of an error has none', () => {
  expect(new SentvecError('invalid-model', 'modules.json names \u001b[2J.').message).toBe(
    'modules.json names \\u001b[2J.',
  );
});
