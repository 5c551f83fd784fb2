// `sentvec verify`.
import { type Command, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { statusProgress } from '../progress.ts';
import { UsageError } from '../usage-error.ts';

export const verify: Command = defineCommand({
  name: 'verify',
  summary: 'Check a folder of vectors: compare every file with the hash in its manifest.',
  args: {
    dir: { type: 'positional', required: true, valueHint: 'DIR', description: 'An output folder of sentvec embed.' },
  },
  examples: [
    { line: 'sentvec verify vectors', does: 'Check a folder after a copy or a crash' },
    {
      line: 'sentvec embed reviews.jsonl -o vectors --resume --verify',
      does: 'Rewrite damaged shards, with the same flags as before',
    },
  ],
  notes: ['It changes nothing. The exit code is 1 if a file is missing or damaged.'],
  async run(context) {
    const [directory, ...more] = context.positionals;
    if (directory === undefined || more.length > 0) throw new UsageError('Name one folder to verify.');
    const { verifyEmbeddings } = await import('@sentvec/corpus');
    const progress = await statusProgress();
    const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
    try {
      const { manifest, files, bytes, damaged } = await verifyEmbeddings(directory, {
        signal: context.signal,
        onProgress: (done) => progress.update(`${megabytes(done.bytes)} of ${megabytes(done.totalBytes)} MB verified`),
      });
      progress.stop();
      const lines = damaged.map(({ file, problem }) => `${directory}/${file} is ${problem}.`);
      const whole = `${directory} is whole: ${files} files, ${megabytes(bytes)} MB, ${(manifest.pieces ?? manifest.rows).toLocaleString('en')} vectors.`;
      const remedy = 'Embed again with the same flags and --resume --verify, which rewrites only the damaged shards.';
      await context.print({
        text: damaged.length === 0 ? whole : [...lines, remedy].join('\n'),
        json: { output: directory, files, bytes, rows: manifest.rows, damaged },
      });
      return damaged.length === 0 ? exitCode.ok : exitCode.failure;
    } finally {
      progress.stop();
    }
  },
});
