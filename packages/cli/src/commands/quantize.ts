// `sentvec quantize`.
import type { QuantizationProgress, QuantizationReport, QuantizedModel } from '@sentvec/backend-onnx/quantization';
import { selfCheckFile, selfCheckFileOf } from '@sentvec/core';
import type { FolderFile } from '@sentvec/platform/node';
import { type Command, defineCommand } from '../command.ts';
import { modelArguments, modelPositional, withModel } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { statusProgress } from '../progress.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

/** The default of --samples. */
const defaultSamples = 1000;

export const quantize: Command = defineCommand({
  name: 'quantize',
  summary: 'Quantize a model to int8: faster and a quarter of the size. Measures the quality on your texts.',
  args: {
    model: modelPositional,
    output: { type: 'string', alias: 'o', required: true, valueHint: 'DIR', description: 'The output folder.' },
    calibrate: {
      type: 'string',
      valueHint: 'FILE',
      description:
        'Texts like those that the model will embed: one per line, or JSON lines, CSV, TSV or Parquet. Default: a built-in sample of English texts.',
    },
    text: { type: 'string', default: 'text', valueHint: 'FIELD', description: 'The field or column with the text.' },
    samples: {
      type: 'string',
      valueHint: 'N',
      description: `How many texts to sample from the whole file. Default: ${defaultSamples}.`,
    },
    precision: {
      type: 'enum',
      options: ['int8', 'int8-weights', 'float16'],
      default: 'int8',
      description:
        'int8 also computes in int8. int8-weights and float16 only make the download smaller, and compute in float32.',
    },
    'weight-bits': {
      type: 'enum',
      options: ['7', '8'],
      description:
        'With 8 bits, CPUs with AVX2 but without VNNI compute wrong results. Default: 8 if this CPU computes correctly, else 7.',
    },
    'only-quantized': { type: 'boolean', description: 'Leave out the float32 weights, for a small download.' },
    'min-mean-cosine': {
      type: 'string',
      valueHint: 'X',
      description: 'The minimum mean cosine with the float32 vectors. Default: 0.999.',
    },
    'min-cosine': { type: 'string', valueHint: 'X', description: 'The minimum cosine of any text. Default: 0.99.' },
    'max-rank-loss': {
      type: 'string',
      valueHint: 'X',
      description: 'The maximum loss of rank correlation of similarities (1 minus the correlation). Default: 0.002.',
    },
    revision: modelArguments.revision,
    task: modelArguments.task,
  },
  examples: [
    {
      line: 'sentvec quantize sentence-transformers/all-MiniLM-L6-v2 --calibrate reviews.jsonl --text body -o minilm-int8',
      does: 'Calibrated with your own texts',
    },
    { line: 'sentvec quantize -o use-lite-int8', does: 'The default model, with the built-in sample' },
    {
      line: 'sentvec quantize ./my-model --precision int8-weights --only-quantized -o my-model-small',
      does: 'A small download for a web page',
    },
  ],
  notes: [
    'The ranges of the activations are measured on three quarters of the texts, and the quality on the last quarter. If the quality is too low, outlier channels are corrected first; then the most sensitive layers stay in float32.',
    'Pass --variant model_int8 to the other commands, unless it is the only ONNX file of the folder. Its vectors are in another space: do not mix them with float32 vectors.',
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    if (positionals.length > 1) throw new UsageError(`Name one model, not ${positionals.length}.`);
    const samples = wholeNumber(args.samples, '--samples') ?? defaultSamples;
    const bar = {
      meanCosine: share(args['min-mean-cosine'], '--min-mean-cosine'),
      minimumCosine: share(args['min-cosine'], '--min-cosine'),
      rankLoss: share(args['max-rank-loss'], '--max-rank-loss'),
    };
    const bits = args['weight-bits'];
    const weightBits = bits === undefined ? undefined : bits === '7' ? 7 : 8;
    const [{ mustBeFree, writeFolderAtomically }, { quantizeModel }, { exportedFiles, selfCheckFiles }] =
      await Promise.all([
        import('@sentvec/platform/node'),
        import('@sentvec/backend-onnx/quantization'),
        import('../export/exported-files.ts'),
      ]);
    await mustBeFree(args.output);
    const texts = await calibrationTexts(args.calibrate, args.text, samples, signal);
    const { model, exported } = await withModel({ ...args, backend: 'onnx' }, context, async (embedder) => ({
      model: embedder.model,
      exported: [...(await exportedFiles(embedder.model, embedder.maxLength)), ...(await selfCheckFiles(embedder))],
    }));
    const { precision } = args;
    const progress = await statusProgress();
    let quantized: QuantizedModel;
    try {
      const onProgress = (event: QuantizationProgress): void => progress.update(describe(event));
      quantized = await quantizeModel(model, { texts, precision, weightBits, bar, signal, onProgress });
    } finally {
      progress.stop();
    }
    const kept = args['only-quantized'] ? exported.filter(([path]) => !float32File.test(path)) : exported;
    const files = new Map([...kept, ...filesOf(quantized)]);
    const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
    await writeFolderAtomically(args.output, sorted, { doing: 'Writing the model', signal });
    const { variant, report } = quantized;
    await context.print({
      text: renderReport(args.output, quantized),
      json: { model: model.name, output: args.output, variant, files: sorted.map(([path]) => path), ...report },
    });
  },
});

/** The files that are left out of a folder with only quantized weights. */
const float32File = new RegExp(
  `^(?:onnx/model\\.onnx.*|model[^/]*\\.safetensors(?:\\.index\\.json)?|${selfCheckFile.replace('.', '\\.')})$`,
  'u',
);

function filesOf({ variant, bytes, selfCheck }: QuantizedModel): FolderFile[] {
  const file = `onnx/${variant}.onnx`;
  return [
    [file, async () => bytes],
    ...(selfCheck === undefined ? [] : [[selfCheckFileOf(file), selfCheck] satisfies FolderFile]),
  ];
}

async function calibrationTexts(
  file: string | undefined,
  column: string,
  count: number,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  if (file === undefined) return undefined;
  const { sampleTexts } = await import('@sentvec/corpus');
  return sampleTexts({ file, column, count, signal });
}

function share(value: string | undefined, flag: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() !== '' && number >= 0 && number <= 1) return number;
  throw new UsageError(`${flag} is ${JSON.stringify(value)}, which is not a number from 0 to 1.`);
}

function describe({ step, done, total }: QuantizationProgress): string {
  return total > 1 ? `${step}: ${done} of ${total}` : step;
}

function renderReport(output: string, { variant, report }: QuantizedModel): string {
  const { bytes, speedup, texts, attempts, float32Inputs, remedies } = report;
  const megabytes = (size: number): string => `${(size / 1e6).toFixed(1)} MB`;
  const table = renderTable(
    [
      { title: 'tried' },
      { title: 'mean cosine', align: 'right' },
      { title: 'least cosine', align: 'right' },
      { title: 'rank corr.', align: 'right' },
      { title: 'top-10', align: 'right' },
      { title: 'good enough' },
    ],
    attempts.map(({ description, quality, reached }) => [
      description,
      quality.meanCosine.toFixed(5),
      quality.minimumCosine.toFixed(5),
      quality.rankCorrelation.toFixed(5),
      `${(quality.topOverlap * 100).toFixed(1)} %`,
      reached ? 'yes' : 'no',
    ]),
  );
  return [
    `${output}: onnx/${variant}.onnx, ${megabytes(bytes.quantized)} in place of ${megabytes(bytes.float32)}, ${speedup.toFixed(1)} times as fast as float32 here`,
    `Ranges from ${texts.calibration} texts; compared with float32 on ${texts.heldOut} others:`,
    '',
    table,
    ...remarks('Layers in float32', float32Inputs),
    ...remarks('Remedies', remediesByName(remedies)),
  ].join('\n');
}

function remediesByName(remedies: QuantizationReport['remedies']): string[] {
  const names = [...new Set(Object.values(remedies))];
  return names.map((name) => `${name}: ${Object.values(remedies).filter((each) => each === name).length}`);
}

function remarks(title: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : ['', `${title}: ${items.join(', ')}`];
}
