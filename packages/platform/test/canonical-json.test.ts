import { canonicalJson, sha256 } from '@sentvec/platform';
import { expect, test } from 'vitest';

test('the order of keys does not change the text, the order of an array does', () => {
  expect(canonicalJson({ b: [2, { d: 1, c: null }], a: 'x' })).toBe('{"a":"x","b":[2,{"c":null,"d":1}]}');
  expect(canonicalJson([2, 1])).not.toBe(canonicalJson([1, 2]));
});

test('undefined is left out of objects and is null in arrays, as JSON has it', () => {
  expect(canonicalJson({ a: undefined, b: [undefined] })).toBe('{"b":[null]}');
});

test('keys are sorted by their code units, wherever the program runs', () => {
  expect(canonicalJson({ ä: 1, z: 2, Z: 3, '10': 4, '9': 5 })).toBe('{"10":4,"9":5,"Z":3,"z":2,"ä":1}');
});

test('SHA-256 of text and of bytes is that of FIPS 180-4', async () => {
  const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  expect(await sha256('abc')).toBe(expected);
  expect(await sha256(new Uint8Array([0, 97, 98, 99, 0]).subarray(1, 4))).toBe(expected);
});
