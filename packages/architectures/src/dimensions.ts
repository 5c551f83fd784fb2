// Symbolic sizes for a graph that is recorded before its sizes are known: polynomials in named sizes, in a canonical
// form.
import type { Dimension, Shape } from './operations.ts';

/**
 * A polynomial in named sizes: maps a product of names (sorted and joined by `*`; empty for the constant term) to its
 * coefficient.
 */
type Polynomial = ReadonlyMap<string, number>;

function parse(dimension: Dimension): Polynomial {
  if (typeof dimension === 'number') return new Map(dimension === 0 ? [] : [['', dimension]]);
  return new Map(
    dimension.split('+').map((term) => {
      const factors = term.split('*');
      const coefficient = Number(factors[0]);
      if (Number.isNaN(coefficient)) return [term, 1] as const;
      return [factors.slice(1).join('*'), coefficient] as const;
    }),
  );
}

function format(polynomial: Polynomial): Dimension {
  const terms = [...polynomial]
    .filter(([, coefficient]) => coefficient !== 0)
    .sort(([a], [b]) => (a !== '' && (b === '' || a < b) ? -1 : 1));
  if (terms.length === 0) return 0;
  const [first] = terms;
  if (terms.length === 1 && first?.[0] === '') return first[1];
  return terms
    .map(([names, coefficient]) =>
      [...(coefficient === 1 && names ? [] : [coefficient]), ...(names ? [names] : [])].join('*'),
    )
    .join('+');
}

function multiply(a: Polynomial, b: Polynomial): Polynomial {
  const result = new Map<string, number>();
  for (const [namesA, coefficientA] of a) {
    for (const [namesB, coefficientB] of b) {
      const names = [...namesA.split('*'), ...namesB.split('*')].filter(Boolean).sort().join('*');
      result.set(names, (result.get(names) ?? 0) + coefficientA * coefficientB);
    }
  }
  return result;
}

/** The named size `name` as a dimension. Names contain letters, digits and `_`, and start with a letter. */
export function namedDimension(name: string): Dimension {
  if (!/^[A-Za-z]\w*$/.test(name)) throw new Error(`"${name}" cannot name a dimension: use letters, digits and _.`);
  return name;
}

/** The product of dimensions: a number if all are numbers. The product of an empty list is 1. */
export function productOf(dimensions: Shape): Dimension {
  if (dimensions.every((dimension) => typeof dimension === 'number')) return dimensions.reduce((a, b) => a * b, 1);
  return format(dimensions.map(parse).reduce(multiply, parse(1)));
}

/** The sum of dimensions: a number if all are numbers. The sum of an empty list is 0. */
export function sumOf(dimensions: Shape): Dimension {
  if (dimensions.every((dimension) => typeof dimension === 'number')) return dimensions.reduce((a, b) => a + b, 0);
  const result = new Map<string, number>();
  for (const [names, coefficient] of dimensions.flatMap((dimension) => [...parse(dimension)])) {
    result.set(names, (result.get(names) ?? 0) + coefficient);
  }
  return format(result);
}

/**
 * The terms of a dimension, for interpreters that compute its value. Each term is the product of an integer coefficient
 * and named sizes.
 */
export function termsOf(
  dimension: Dimension,
): readonly { readonly coefficient: number; readonly names: readonly string[] }[] {
  return [...parse(dimension)].map(([names, coefficient]) => ({
    coefficient,
    names: names.split('*').filter(Boolean),
  }));
}
