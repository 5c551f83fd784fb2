// Minimizes a smooth convex function by L-BFGS (Nocedal, 1980; Nocedal and Wright, 2006, algorithm 7.5).

/** The value and the gradient of a function at one point. */
export interface FunctionValue {
  readonly value: number;
  readonly gradient: Float64Array;
}

/** How many past steps L-BFGS estimates the curvature from. */
const historySize = 10;

/**
 * Descends from `start` until no entry of the gradient is larger than `tolerance`, until no step decreases the value,
 * or for `iterations` iterations.
 */
export async function minimize(
  evaluate: (x: Float64Array) => Promise<FunctionValue>,
  start: Float64Array,
  { tolerance, iterations }: { readonly tolerance: number; readonly iterations: number },
): Promise<Float64Array> {
  let x = start;
  let here = await evaluate(x);
  const steps: Step[] = [];
  for (let iteration = 0; iteration < iterations && largest(here.gradient) > tolerance; iteration++) {
    const direction = descent(here.gradient, steps);
    const slope = dot(direction, here.gradient);
    // Without history, the direction is the plain gradient, whose length is not a useful step size.
    let size = steps.length === 0 ? 1 / Math.max(1, Math.sqrt(-slope)) : 1;
    let next: Float64Array;
    let there: FunctionValue;
    for (;;) {
      next = x.map((entry, i) => entry + size * direction[i]!);
      there = await evaluate(next);
      if (there.value <= here.value + 1e-4 * size * slope) break;
      size /= 2;
      if (size < 1e-10) return x;
    }
    const change = next.map((entry, i) => entry - x[i]!);
    const gradientChange = there.gradient.map((entry, i) => entry - here.gradient[i]!);
    const curvature = dot(change, gradientChange);
    if (curvature > 0) steps.push({ change, gradientChange, curvature });
    if (steps.length > historySize) steps.shift();
    [x, here] = [next, there];
  }
  return x;
}

/** The change of x and of the gradient in a step. `curvature` is their dot product. */
interface Step {
  readonly change: Float64Array;
  readonly gradientChange: Float64Array;
  readonly curvature: number;
}

/** The quasi-Newton direction: the negative gradient times the inverse Hessian, as estimated from past steps. */
function descent(gradient: Float64Array, steps: readonly Step[]): Float64Array {
  const direction = gradient.map((entry) => -entry);
  const shares: number[] = [];
  for (const { change, gradientChange, curvature } of steps.toReversed()) {
    const share = dot(change, direction) / curvature;
    shares.unshift(share);
    addTo(direction, gradientChange, -share);
  }
  const last = steps.at(-1);
  if (last)
    for (let i = 0; i < direction.length; i++)
      direction[i]! *= last.curvature / dot(last.gradientChange, last.gradientChange);
  for (const [index, { change, gradientChange, curvature }] of steps.entries())
    addTo(direction, change, shares[index]! - dot(gradientChange, direction) / curvature);
  return direction;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addTo(to: Float64Array, more: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * more[i]!;
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
