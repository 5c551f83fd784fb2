// The process that `pnpm bench load` starts. It embeds one text with the default model or a folder (`onnx`, `tfjs`), or
// fits a linear probe on synthetic rows (`probe`), and prints the time of the self-check or of the fit in milliseconds.
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { randomNumbers, uniform } from './random-numbers.ts';

/** The report that the process prints as JSON. */
export interface LoadReport {
  /** Time of the self-check (0 if it was off) or of the fit. */
  readonly milliseconds: number;
}

const rows = 10_000;
const cols = 384;
const classes = 10;

const [task, option] = process.argv.slice(2);
if (task === 'probe') await fitProbe();
else await embedOne();

function print(report: LoadReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

async function embedOne(): Promise<void> {
  const backend =
    task === 'tfjs'
      ? (await import('@sentvec/backend-tfjs')).tfjs({ device: 'wasm' })
      : (await import('@sentvec/backend-onnx')).onnx();
  const model = option === undefined || option === 'unchecked' ? await useLite() : option;
  const embedder = await loadEmbedder(model, { backend, selfCheck: option !== 'unchecked' });
  await embedder.embed(['The first text.']);
  print({ milliseconds: embedder.selfCheck?.state === 'passed' ? embedder.selfCheck.milliseconds : 0 });
  await embedder.dispose();
}

/**
 * Fits a linear probe on vectors of about length 1 around class centres, which are so close that some vectors are
 * misclassified.
 */
async function fitProbe(): Promise<void> {
  const { fitLinearProbe } = await import('@sentvec/training');
  const next = uniform(1);
  const centres = randomNumbers(classes * cols, 0.01, next);
  const data = randomNumbers(rows * cols, 0.05, next);
  const labels = Array.from({ length: rows }, (_, row) => row % classes);
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) data[row * cols + col]! += centres[labels[row]! * cols + col]!;
  const started = performance.now();
  await fitLinearProbe({ data, rows, cols }, labels, classes);
  print({ milliseconds: performance.now() - started });
}
