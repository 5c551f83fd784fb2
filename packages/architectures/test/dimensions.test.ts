import { describe, expect, it } from 'vitest';
import { namedDimension, productOf, sumOf, termsOf } from '@sentvec/architectures';

describe('dimensions', () => {
  it('of numbers are numbers', () => {
    expect(productOf([2, 3, 4])).toBe(24);
    expect(productOf([])).toBe(1);
    expect(sumOf([2, 3])).toBe(5);
    expect(sumOf([])).toBe(0);
  });

  it('have a canonical form', () => {
    const [a, b] = [namedDimension('a'), namedDimension('b')];
    expect(productOf([b, 2, a])).toBe('2*a*b');
    expect(productOf([productOf([a, 2]), b])).toBe(productOf([productOf([b, a]), 2]));
    expect(sumOf([b, 3, a, b])).toBe('a+2*b+3');
    expect(productOf([sumOf([a, 1]), sumOf([a, 1])])).toBe(sumOf([productOf([a, a]), productOf([2, a]), 1]));
    expect(sumOf([0, a])).toBe('a');
    expect(productOf([0, a])).toBe(0);
    expect(productOf([a, 1])).toBe('a');
  });

  it('can be split into terms', () => {
    expect(termsOf('a+2*a*b+3')).toEqual([
      { coefficient: 1, names: ['a'] },
      { coefficient: 2, names: ['a', 'b'] },
      { coefficient: 3, names: [] },
    ]);
    expect(termsOf(7)).toEqual([{ coefficient: 7, names: [] }]);
    expect(termsOf(0)).toEqual([]);
  });

  it('refuse invalid names', () => {
    expect(() => namedDimension('2a')).toThrow(/2a/);
    expect(() => namedDimension('a*b')).toThrow(/a\*b/);
  });
});
