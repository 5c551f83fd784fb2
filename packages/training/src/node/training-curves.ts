// Draws the curves of a run (loss, score, learning rate, gradient norm) as SVG.
import type { TrainingHistory } from '../training-request.ts';

/** The values of one metric over the steps of a run. */
export interface Curve {
  readonly title: string;
  /** In the order of the steps. */
  readonly points: readonly (readonly [step: number, value: number])[];
}

/** The curves of a run: loss, score, learning rate and gradient norm. */
export function curvesOf({ steps, evaluations }: TrainingHistory): Curve[] {
  return [
    { title: 'Loss (mean of 25 steps)', points: smoothed(steps.map(({ step, loss }) => [step, loss])) },
    { title: 'Score', points: evaluations.map(({ step, score }) => [step, score]) },
    { title: 'Learning rate', points: steps.map(({ step, learningRate }) => [step, learningRate]) },
    {
      title: 'Gradient norm (mean of 25 steps)',
      points: smoothed(steps.map(({ step, gradientNorm }) => [step, gradientNorm])),
    },
  ];
}

function smoothed(points: [number, number][]): [number, number][] {
  return points.map(([step], index) => {
    const window = points.slice(Math.max(0, index - 24), index + 1);
    return [step, window.reduce((sum, [, value]) => sum + value, 0) / window.length];
  });
}

/** Width of one chart, in the units of its SVG. */
export const chartWidth = 520;
/** Height of one chart, in the units of its SVG. */
export const chartHeight = 220;
const [left, bottom] = [60, 24];

/** Draws a curve with its axes, as the content of an SVG element. The curve needs at least one point. */
export function drawCurve({ points }: Curve): string {
  const [firstStep, lastStep] = [points[0]![0], points.at(-1)![0]];
  const low = points.reduce((least, [, value]) => Math.min(least, value), Infinity);
  const high = points.reduce((most, [, value]) => Math.max(most, value), -Infinity);
  const x = (step: number) => left + ((step - firstStep) / (lastStep - firstStep || 1)) * (chartWidth - left - 8);
  const y = (value: number) => 8 + ((high - value) / (high - low || 1)) * (chartHeight - bottom - 16);
  const line = downsampled(points).map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
  return `<line x1="${left}" y1="${chartHeight - bottom}" x2="${chartWidth - 8}" y2="${chartHeight - bottom}"/><line x1="${left}" y1="8" x2="${left}" y2="${chartHeight - bottom}"/>
<text x="${left - 4}" y="14" text-anchor="end">${numberText(high)}</text><text x="${left - 4}" y="${chartHeight - bottom}" text-anchor="end">${numberText(low)}</text>
<text x="${left}" y="${chartHeight - 6}">${firstStep}</text><text x="${chartWidth - 8}" y="${chartHeight - 6}" text-anchor="end">step ${lastStep}</text>
<polyline points="${line.join(' ')}"/>`;
}

/** Describes a curve in words, for screen readers. The curve needs at least one point. */
export function describeCurve({ title, points }: Curve): string {
  return `${title}: from ${numberText(points[0]![1])} to ${numberText(points.at(-1)![1])}`;
}

/** All curves of a run in one SVG file, one below the other, for a model card. */
export function curvesImage(history: TrainingHistory): string {
  const curves = curvesOf(history).filter(({ points }) => points.length > 0);
  const rowHeight = chartHeight + 24;
  const rows = curves.map(
    (
      curve,
      row,
    ) => `<g transform="translate(0 ${row * rowHeight})"><text class="title" x="8" y="16">${curve.title}</text>
<g transform="translate(0 24)">
${drawCurve(curve)}
</g></g>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${chartWidth} ${curves.length * rowHeight}" width="${chartWidth}" height="${curves.length * rowHeight}">
<style>svg { background: #fff } polyline { fill: none; stroke: #0969da; stroke-width: 1.5 } text { font: 11px sans-serif; fill: #57606a } .title { font-size: 14px; font-weight: 600 } line { stroke: #d0d7de }</style>
${rows.join('\n')}
</svg>
`;
}

function numberText(value: number): string {
  return Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(4) : value.toExponential(1);
}

/** Reduces a curve to about a thousand points, because the chart has fewer pixels than that. */
function downsampled<Point>(points: readonly Point[]): readonly Point[] {
  const stride = Math.ceil(points.length / 1000);
  return points.filter((_, index) => index % stride === 0 || index === points.length - 1);
}
