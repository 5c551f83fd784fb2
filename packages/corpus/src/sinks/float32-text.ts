const powersOfTen = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);

/**
 * The shortest decimal number that is nearest to this float32, as JSON: the digits that NumPy prints. A float32 widened
 * to a double prints up to 17 digits, of which at most 9 mean something.
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
 * A fraction with seven to nine digits, as nearly all entries of vectors are. Six times as fast as printing a double.
 */
function fractionText(magnitude: number): string | undefined {
  if (magnitude < 1e-6 || magnitude >= 1) return undefined;
  let zeros = 0;
  while (magnitude * powersOfTen[zeros + 1]! < 1) zeros += 1;
  for (let digits = 6; digits <= 9; digits += 1) {
    const scale = powersOfTen[digits + zeros]!;
    const whole = Math.round(magnitude * scale);
    if (Math.fround(whole / scale) !== magnitude) continue;
    // With six digits there may be a shorter one still.
    return digits === 6 ? undefined : `0.${String(whole).padStart(digits + zeros, '0')}`;
  }
  return undefined;
}

/** Any number, by trying one digit more at a time. */
function shortestText(magnitude: number): string {
  const leading = Math.floor(Math.log10(magnitude));
  // A power of ten may have its logarithm off by one, hence ten instead of nine.
  for (let digits = 1; digits <= 10; digits += 1) {
    const scale = powersOfTen[digits - 1 - leading];
    // A whole number below 10^10 divided by an exact power of ten is the double nearest to that decimal, which prints
    // as just its digits.
    const rounded = scale === undefined ? Number(magnitude.toPrecision(digits)) : Math.round(magnitude * scale) / scale;
    if (Math.fround(rounded) === magnitude) return String(rounded);
  }
  return String(magnitude);
}
