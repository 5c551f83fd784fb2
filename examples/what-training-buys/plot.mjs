const [left, width, bar, gap] = [220, 420, 16, 34];
const series = [
  { key: 'similarity', title: "similarity (Spearman's correlation)", color: '#0969da' },
  { key: 'retrieval', title: 'search (NDCG@10)', color: '#bf8700' },
];

/** Returns a self-contained HTML page with two bars per encoder and a table of the numbers. */
export function plotPage(results) {
  const height = results.length * (2 * bar + gap);
  const bars = results.flatMap((result, index) => {
    const top = index * (2 * bar + gap);
    const label = `<text x="${left - 8}" y="${top + bar + 4}" text-anchor="end">${result.name}</text>`;
    return [label, ...series.map(({ key, color }, row) => barOf(result[key], top + row * bar, color))];
  });
  const rows = results.map(
    ({ name, what, similarity, retrieval }) =>
      `<tr><td>${name}</td><td>${what}</td><td class="number">${similarity.toFixed(3)}</td><td class="number">${retrieval.toFixed(3)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>What training buys</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
  text { font-size: 13px } table { border-collapse: collapse } th, td { text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #d0d7de }
  td.number { text-align: right; font-variant-numeric: tabular-nums }
</style>
<h1>What training buys</h1>
<p>${series.map(({ title, color }) => `<span style="color:${color}">■</span> ${title}`).join(' &nbsp; ')}</p>
<svg viewBox="0 0 ${left + width + 60} ${height}" role="img" aria-label="Two scores of each encoder, as in the table">
${bars.join('\n')}
</svg>
<table>
<tr><th>encoder</th><th>what it is</th><th>similarity</th><th>search</th></tr>
${rows.join('\n')}
</table>
</html>
`;
}

function barOf(value, top, color) {
  const length = Math.max(0, value) * width;
  return `<rect x="${left}" y="${top}" width="${length.toFixed(1)}" height="${bar - 2}" fill="${color}"/><text x="${(left + length + 6).toFixed(1)}" y="${top + bar - 4}">${value.toFixed(3)}</text>`;
}
