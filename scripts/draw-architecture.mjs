// Draws the packages, their folders, and the imports between packages, as found in the sources. Prints an SVG file:
// `node scripts/draw-architecture.mjs > docs/architecture.svg`. A workspace test checks that the file is current.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root } from './pnpm.mjs';

const box = { width: 210, padding: 12, titleHeight: 24, lineHeight: 16, characters: 30 };
const gap = { x: 28, y: 64 };
const margin = 20;

/** Returns every package and app that has sources, with its name, its folders, and the packages that it imports. */
function readPackages() {
  return ['packages', 'apps']
    .flatMap((room) => readdirSync(join(root, room)).map((name) => ({ name, source: join(root, room, name, 'src') })))
    .filter(({ source }) => existsSync(source))
    .map(({ name, source }) => ({
      name,
      folders: readdirSync(source, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name)
        .sort(),
      imports: importedPackages(source).filter((other) => other !== name),
    }));
}

function importedPackages(source) {
  const found = new Set();
  for (const file of readdirSync(source, { recursive: true })) {
    if (!/\.m?ts$/u.test(file)) continue;
    for (const { fileName } of ts.preProcessFile(readFileSync(join(source, file), 'utf8'), true, true).importedFiles) {
      const [scope, name] = fileName.split('/');
      if (scope === '@sentvec') found.add(name);
    }
  }
  return [...found].sort((a, b) => (a < b ? -1 : 1));
}

/**
 * Arranges the packages in rows, so that each is above all packages that it imports. The lowest row comes first.
 * @throws on a cycle
 */
function layersOf(packages) {
  const layers = [];
  let rest = packages;
  const placed = new Set();
  while (rest.length > 0) {
    const layer = rest.filter(({ imports }) => imports.every((name) => placed.has(name)));
    if (layer.length === 0)
      throw new Error(`These packages import each other in a cycle: ${rest.map(({ name }) => name).join(', ')}.`);
    for (const { name } of layer) placed.add(name);
    rest = rest.filter(({ name }) => !placed.has(name));
    layers.push(layer);
  }
  return layers;
}

/** Returns the imports of a package without those that another of its imports already has. */
function directImports({ imports }, byName) {
  const reaches = (from, to) => from.imports.some((name) => name === to || reaches(byName.get(name), to));
  return imports.filter((to) => !imports.some((other) => other !== to && reaches(byName.get(other), to)));
}

/** Wraps folder names into lines that fit into a box. */
function linesOf(folders) {
  const lines = [];
  for (const folder of folders) {
    const last = lines.at(-1);
    if (last !== undefined && `${last}, ${folder}`.length <= box.characters)
      lines[lines.length - 1] = `${last}, ${folder}`;
    else lines.push(folder);
  }
  return lines;
}

/**
 * Returns rows of nodes, the lowest first. A node is a package, or a lane through which an arrow passes a row. `below`
 * are the nodes to which its arrows point. Each node is placed near their centre, so that few arrows cross.
 */
function rowsOf(packages) {
  const byName = new Map(packages.map((entry) => [entry.name, entry]));
  const rows = layersOf(packages).map((layer) => layer.map((entry) => ({ ...entry, lane: false, below: [] })));
  const rowNumber = new Map(rows.flatMap((row, index) => row.map(({ name }) => [name, index])));
  for (const node of rows.flat()) {
    for (const to of directImports(byName.get(node.name), byName)) {
      let from = node;
      for (let index = rowNumber.get(node.name) - 1; index > rowNumber.get(to); index -= 1) {
        const lane = { name: `${node.name} to ${to}, row ${index}`, folders: [], lane: true, below: [] };
        rows[index].push(lane);
        from.below.push(lane.name);
        from = lane;
      }
      from.below.push(to);
    }
  }
  const position = new Map();
  for (const row of rows) {
    const middle = ({ below }) => below.reduce((sum, name) => sum + position.get(name), 0) / (below.length || 1);
    row.sort((a, b) => middle(a) - middle(b) || (a.name < b.name ? -1 : 1));
    for (const [index, { name }] of row.entries()) position.set(name, (index + 1) / (row.length + 1));
  }
  return rows;
}

/** Returns the drawing as SVG text. */
function drawArchitecture(packages) {
  const rows = rowsOf(packages).toReversed();
  const widthOf = ({ lane }) => (lane ? 0 : box.width);
  const rowWidth = (row) => row.reduce((sum, node) => sum + widthOf(node) + gap.x, -gap.x);
  const width = 2 * margin + Math.max(...rows.map(rowWidth));
  const placed = new Map();
  let y = margin;
  for (const row of rows) {
    let x = (width - rowWidth(row)) / 2;
    const heights = row.map(({ folders }) => box.titleHeight + box.padding + linesOf(folders).length * box.lineHeight);
    const tallest = Math.max(...heights);
    for (const [index, node] of row.entries()) {
      const height = node.lane ? tallest : heights[index];
      placed.set(node.name, { ...node, x, y, height, middle: x + widthOf(node) / 2 });
      x += widthOf(node) + gap.x;
    }
    y += tallest + gap.y;
  }
  const nodes = [...placed.values()];
  const arrows = nodes.flatMap((node) => node.below.map((name) => drawArrow(node, placed.get(name))));
  const lanes = nodes.filter(({ lane }) => lane).map(({ x, y: top, height }) => `<path d="M${x} ${top}v${height}"/>`);
  const boxes = nodes.filter(({ lane }) => !lane).map(drawBox);
  return `${[...opening(width, y - gap.y + margin), ...arrows, ...lanes, ...boxes, '</svg>'].join('\n')}\n`;
}

function opening(width, height) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif">`,
    '<title>The packages of sentvec, the folders in them, and which package imports which</title>',
    '<style>',
    'rect { fill: #f6f8fa; stroke: #57606a } text { fill: #57606a; font-size: 12px } .name { fill: #1f2328; font-size: 15px; font-weight: 600 }',
    'path { fill: none; stroke: #0969da; stroke-opacity: 0.6 } #head path { fill: #0969da; stroke: none }',
    '@media (prefers-color-scheme: dark) { rect { fill: #161b22; stroke: #8b949e } text { fill: #8b949e } .name { fill: #e6edf3 } }',
    '</style>',
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker>',
  ];
}

function drawArrow(from, to) {
  const [start, end, bend] = [from.y + from.height, to.lane ? to.y : to.y - 2, gap.y / 2];
  const head = to.lane ? '' : ' marker-end="url(#head)"';
  const curve = `C${from.middle} ${start + bend} ${to.middle} ${end - bend} ${to.middle} ${end}`;
  return `<path d="M${from.middle} ${start}${curve}"${head}/>`;
}

function drawBox({ name, folders, x, y, height }) {
  const left = x + box.padding;
  const lines = linesOf(folders).map(
    (line, index) => `<text x="${left}" y="${y + box.titleHeight + (index + 1) * box.lineHeight}">${line}</text>`,
  );
  return [
    `<rect x="${x}" y="${y}" width="${box.width}" height="${height}" rx="6"/>`,
    `<text class="name" x="${left}" y="${y + box.titleHeight - 2}">${name}</text>`,
    ...lines,
  ].join('\n');
}

process.stdout.write(drawArchitecture(readPackages()));
