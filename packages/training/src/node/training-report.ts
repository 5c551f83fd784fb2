import { basename } from 'node:path';
import type { RunDescription } from './run-description.ts';

/** How similar two texts were to the model before it was trained, and are now. */
export interface PairComparison {
  readonly first: string;
  readonly second: string;
  readonly before: number;
  readonly after: number;
}

interface Curve {
  readonly title: string;
  readonly points: readonly (readonly [step: number, value: number])[];
}

/** A page about a run that reads without a network: curves of loss, learning rate, gradient norm and score, and a few pairs before and after. */
export function trainingReport(run: RunDescription, pairs: readonly PairComparison[]): string {
  const { config, outcome, model } = run;
  const { steps, evaluations } = outcome.history;
  const curves: Curve[] = [
    { title: 'Loss (mean of 25 steps)', points: smoothed(steps.map(({ step, loss }) => [step, loss])) },
    { title: 'Score', points: evaluations.map(({ step, score }) => [step, score]) },
    { title: 'Learning rate', points: steps.map(({ step, learningRate }) => [step, learningRate]) },
    { title: 'Gradient norm (mean of 25 steps)', points: smoothed(steps.map(({ step, gradientNorm }) => [step, gradientNorm])) },
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(basename(config.output))}: training report</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
  .curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem }
  figure { margin: 0; border: 1px solid #d0d7de; border-radius: 6px; padding: .75rem }
  figcaption { font-weight: 600 }
  svg { width: 100%; height: auto } polyline { fill: none; stroke: #0969da; stroke-width: 1.5 } text { font-size: 11px; fill: #57606a } line { stroke: #d0d7de }
  table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de; vertical-align: top } td.number { text-align: right; font-variant-numeric: tabular-nums }
</style>
<h1>${escape(basename(config.output))}</h1>
<p>Trained from ${escape(model.name)} in ${outcome.steps} steps${outcome.stoppedEarly ? ', stopped early' : ''}; the weights of step ${outcome.bestStep} were kept.</p>
<section class="curves">
${curves.map(figure).join('\n')}
</section>
<h2>Pairs before and after</h2>
<table>
<tr><th>text</th><th>text</th><th>before</th><th>after</th></tr>
${pairs.map(pairRow).join('\n')}
</table>
<h2>Configuration</h2>
<pre>${escape(JSON.stringify(config, undefined, 2))}</pre>
</html>
`;
}

function smoothed(points: [number, number][]): [number, number][] {
  return points.map(([step], index) => {
    const window = points.slice(Math.max(0, index - 24), index + 1);
    return [step, window.reduce((sum, [, value]) => sum + value, 0) / window.length];
  });
}

const [width, height, left, bottom] = [520, 220, 60, 24];

function figure({ title, points }: Curve): string {
  if (points.length === 0) return `<figure><figcaption>${title}</figcaption><p>None.</p></figure>`;
  const steps = points.map(([step]) => step);
  const values = points.map(([, value]) => value);
  const [firstStep, lastStep] = [Math.min(...steps), Math.max(...steps)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (step: number) => left + ((step - firstStep) / (lastStep - firstStep || 1)) * (width - left - 8);
  const y = (value: number) => 8 + ((high - value) / (high - low || 1)) * (height - bottom - 16);
  const line = thinned(points).map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
  const label = (value: number) => (Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(4) : value.toExponential(1));
  return `<figure><figcaption>${title}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}: from ${label(values[0]!)} to ${label(values.at(-1)!)}">
<line x1="${left}" y1="${height - bottom}" x2="${width - 8}" y2="${height - bottom}"/><line x1="${left}" y1="8" x2="${left}" y2="${height - bottom}"/>
<text x="${left - 4}" y="14" text-anchor="end">${label(high)}</text><text x="${left - 4}" y="${height - bottom}" text-anchor="end">${label(low)}</text>
<text x="${left}" y="${height - 6}">${firstStep}</text><text x="${width - 8}" y="${height - 6}" text-anchor="end">step ${lastStep}</text>
<polyline points="${line.join(' ')}"/></svg></figure>`;
}

/** At most about a thousand points: more cannot be seen. */
function thinned<Point>(points: readonly Point[]): readonly Point[] {
  const stride = Math.ceil(points.length / 1000);
  return points.filter((_, index) => index % stride === 0 || index === points.length - 1);
}

function pairRow({ first, second, before, after }: PairComparison): string {
  const number = (value: number) => `<td class="number">${value.toFixed(3)}</td>`;
  return `<tr><td>${escape(first)}</td><td>${escape(second)}</td>${number(before)}${number(after)}</tr>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
