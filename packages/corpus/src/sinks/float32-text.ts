const powersOfTen = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);

/**
 * The shortest decimal number that is nearest to this float32, as JSON: the digits that NumPy prints. A float32 widened to a double prints up to
 * 17 digits, of which at most 9 mean something.
 *
 * @param value a finite float32
 */
export function float32Text(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const magnitude = Math.abs(value);
  const leading = Math.floor(Math.log10(magnitude));
  for (let digits = 1; digits <= 9; digits += 1) {
    const scale = powersOfTen[digits - 1 - leading];
    // A whole number below 10^9 divided by an exact power of ten is the double nearest to that decimal, which prints as just its digits.
    const rounded = scale === undefined ? Number(value.toPrecision(digits)) : Math.round(value * scale) / scale;
    if (Math.fround(rounded) === value) return String(rounded);
  }
  return String(value);
}
