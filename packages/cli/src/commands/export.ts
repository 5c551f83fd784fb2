import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, modelPositional, withModel } from '../model.ts';
import { UsageError } from '../usage-error.ts';

/** Without the variant: the export has the default weights. */
const { variant: _, ...exportBackendArguments } = backendArguments;

export const exportModel: Command = defineCommand({
  name: 'export',
  summary: 'A self-contained model folder with onnx/model.onnx, for sentence-transformers and transformers.js alike.',
  args: {
    model: modelPositional,
    output: { type: 'string', alias: 'o', required: true, valueHint: 'DIR', description: 'The folder to make.' },
    revision: modelArguments.revision,
    task: modelArguments.task,
    record: {
      type: 'boolean',
      description:
        'Make onnx/model.onnx from the safetensors even if the model ships an ONNX file, which is copied otherwise. A recorded file needs less memory for long texts.',
    },
    ...exportBackendArguments,
  },
  examples: [
    { line: 'sentvec export ./my-model --output my-model-onnx', does: 'A model of your own' },
    { line: 'sentvec export use-lite -o use-lite', does: 'The default model' },
    {
      line: 'sentvec export BAAI/bge-m3 --record -o bge-m3',
      does: 'Not with the ONNX file that the model ships, but with one that is made for long texts',
    },
  ],
  notes: [
    "transformers.js loads the folder with pipeline('feature-extraction', folder, { dtype: 'fp32' }). It pools by itself, by its option pooling, and has no dense layers; sentvec applies what the folder says.",
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
