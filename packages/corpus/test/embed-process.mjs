// Embeds in a process of its own, which a test can kill or starve: node embed-process.mjs REQUEST MILLISECONDS, the
// request in JSON.
import { embedCorpus } from '@sentvec/corpus';
import { standIn } from './stand-in.mjs';

const [request, milliseconds] = process.argv.slice(2);
try {
  const onProgress = ({ rows }) => process.stdout.write(`${rows}\n`);
  await embedCorpus(JSON.parse(request), standIn({ dimension: 64, milliseconds: Number(milliseconds) }), {
    onProgress,
  });
} catch (error) {
  process.stderr.write(JSON.stringify(error));
  process.exitCode = 1;
}
