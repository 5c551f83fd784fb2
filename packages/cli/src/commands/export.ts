import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, modelPositional, withModel } from '../model.ts';
import { UsageError } from '../usage-error.ts';

/** Without `--variant`, because the export always has the default weights. */
const { variant: _, ...exportBackendArguments } = backendArguments;

export const exportModel: Command = defineCommand({
  name: 'export',
  summary: 'Export a self-contained model folder with onnx/model.onnx, for sentence-transformers and transformers.js.',
  args: {
    model: modelPositional,
    output: { type: 'string', alias: 'o', required: true, valueHint: 'DIR', description: 'The output folder.' },
    revision: modelArguments.revision,
    task: modelArguments.task,
    record: {
      type: 'boolean',
      description:
        'Create onnx/model.onnx from the safetensors even if the model has an ONNX file, which is copied otherwise. A recorded file needs less memory for long texts.',
    },
    ...exportBackendArguments,
  },
  examples: [
    { line: 'sentvec export ./my-model --output my-model-onnx', does: 'Your own model' },
    { line: 'sentvec export use-lite -o use-lite', does: 'The default model' },
    {
      line: 'sentvec export BAAI/bge-m3 --record -o bge-m3',
      does: 'With a new ONNX file for long texts, instead of the one in the model',
    },
  ],
  notes: [
    "transformers.js loads the folder with pipeline('feature-extraction', folder, { dtype: 'fp32' }). Its pooling is set by its own option and it ignores dense layers; sentvec uses the pooling and the dense layers of the folder.",
    'For t5 and mt5 its pipeline expects a decoder: load their encoder with PreTrainedModel.from_pretrained and AutoTokenizer.',
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    if (positionals.length > 1) throw new UsageError(`Name one model, not ${positionals.length}.`);
    const { mustBeFree, writeFolderAtomically } = await import('@sentvec/platform/node');
    await mustBeFree(args.output);
    await withModel(args, context, async (embedder) => {
      const { exportedFiles, selfCheckFiles } = await import('../export/exported-files.ts');
      const selfCheck = await selfCheckFiles(embedder);
      const exported = new Map([
        ...(await exportedFiles(embedder.model, embedder.maxLength, { record: args.record })),
        ...selfCheck,
      ]);
      const files = [...exported].sort(([a], [b]) => (a < b ? -1 : 1));
      await writeFolderAtomically(args.output, files, { doing: 'Writing the model', signal });
      const { hash } = await embedder.fingerprint();
      const paths = files.map(([path]) => path);
      await context.print({
        text: `${args.output}: ${embedder.model.name} in ${paths.length} files, among them onnx/model.onnx`,
        json: { model: embedder.model.name, output: args.output, files: paths, fingerprint: hash },
      });
    });
  },
});
