// Writes report.html and history.jsonl of a run, which are stored in the folder of the trained model.
import { basename } from 'node:path';
import type { TrainingHistory } from '../training-request.ts';
import type { RunDescription } from './model-card.ts';
import { chartHeight, chartWidth, curvesOf, describeCurve, drawCurve, type Curve } from './training-curves.ts';

/** The similarity of two texts before and after training. */
export interface PairComparison {
  readonly first: string;
  readonly second: string;
  readonly before: number;
  readonly after: number;
}

/**
 * An HTML page about a run, without external resources: curves of loss, learning rate, gradient norm and score, and the
 * similarity of a few pairs before and after training.
 */
export function trainingReport(run: RunDescription, pairs: readonly PairComparison[]): string {
  const { config, outcome, loaded } = run;
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
<p>Trained from ${escape(loaded.files.name)} in ${outcome.steps} steps${outcome.stoppedEarly ? ', stopped early' : ''}; the weights of step ${outcome.bestStep} were kept.</p>
<section class="curves">
${curvesOf(outcome.history).map(figure).join('\n')}
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

/**
 * Content of `history.jsonl`: one line for each step (`step`, `loss`, `learningRate`, `gradientNorm`) and for each
 * evaluation (`step`, `score`, `metrics`), in chronological order. Step 0 is before training.
 */
export function historyLines({ steps, evaluations }: TrainingHistory): string {
  const lines = [...evaluations, ...steps].sort(
    (a, b) => a.step - b.step || Number('score' in a) - Number('score' in b),
  );
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

function figure(curve: Curve): string {
  const { title, points } = curve;
  const drawn =
    points.length === 0
      ? '<p>None.</p>'
      : `<svg viewBox="0 0 ${chartWidth} ${chartHeight}" role="img" aria-label="${describeCurve(curve)}">
${drawCurve(curve)}
</svg>`;
  return `<figure><figcaption>${title}</figcaption>${drawn}</figure>`;
}

function pairRow({ first, second, before, after }: PairComparison): string {
  const number = (value: number) => `<td class="number">${value.toFixed(3)}</td>`;
  return `<tr><td>${escape(first)}</td><td>${escape(second)}</td>${number(before)}${number(after)}</tr>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
