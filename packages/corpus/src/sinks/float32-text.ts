const powersOfTen = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);

/**
 * Formats a float32 as the shortest decimal that converts back to it, with the same digits as NumPy. JavaScript would
 * print a float32 as a double, with up to 17 digits, of which at most 9 are significant.
 *
 * @param value a finite float32
 */
export function float32Text(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const magnitude = Math.abs(value);
  const text = fractionText(magnitude) ?? shortestText(magnitude);
  return value < 0 ? `-${text}` : text;
}

/**
 * The fast path for fractions with seven to nine digits, as nearly all vector entries are. Six times as fast as
 * formatting a double.
 */
function fractionText(magnitude: number): string | undefined {
  if (magnitude < 1e-6 || magnitude >= 1) return undefined;
  let zeros = 0;
  while (magnitude * powersOfTen[zeros + 1]! < 1) zeros += 1;
  for (let digits = 6; digits <= 9; digits += 1) {
    const scale = powersOfTen[digits + zeros]!;
    const whole = Math.round(magnitude * scale);
    if (Math.fround(whole / scale) !== magnitude) continue;
    // A number with six digits may have a shorter form.
    return digits === 6 ? undefined : `0.${String(whole).padStart(digits + zeros, '0')}`;
  }
  return undefined;
}

/** The general case: tries 1, 2, 3 … digits until the number converts back. */
function shortestText(magnitude: number): string {
  const leading = Math.floor(Math.log10(magnitude));
  // Ten and not nine, because the logarithm of a power of ten may be off by one.
  for (let digits = 1; digits <= 10; digits += 1) {
    const scale = powersOfTen[digits - 1 - leading];
    // An integer below 10^10 divided by an exact power of ten gives the double that is nearest to this decimal, so it
    // prints with just these digits.
    const rounded = scale === undefined ? Number(magnitude.toPrecision(digits)) : Math.round(magnitude * scale) / scale;
    if (Math.fround(rounded) === magnitude) return String(rounded);
  }
  return String(magnitude);
}
