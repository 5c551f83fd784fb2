// Embeds in a process of its own, which a test can kill or starve: node embed-process.mjs REQUEST MILLISECONDS, the
// request in JSON.
import { embedCorpus } from '@sentvec/corpus';
import { stubEmbedder } from './stub-embedder.mjs';

const [request, milliseconds] = process.argv.slice(2);
try {
  const onProgress = ({ rows }) => process.stdout.write(`${rows}\n`);
  await embedCorpus(JSON.parse(request), stubEmbedder({ dimension: 64, milliseconds: Number(milliseconds) }), {
    onProgress,
  });
} catch (error) {
  process.stderr.write(JSON.stringify(error));
  process.exitCode = 1;
}
