// A candidate in a separate process. The process reads JSON lines, first with the model and then with texts, and
// responds to each with one line.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { OpenCandidate } from '../candidate.ts';

/**
 * Starts the process and sends the first line. The process responds with `{}` when it is ready, and then to each array
 * of texts with base64-encoded float32 vectors.
 */
export async function openProcess([command, ...words]: readonly string[], first: object): Promise<OpenCandidate> {
  const child = spawn(command!, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${command} exited with code ${code}.`)));
  });
  ended.catch(() => {}); // Whoever asks next gets the error.
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (question: unknown): Promise<string> => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    const answer = await Promise.race([lines.next(), ended]);
    if (answer.done) return ended;
    return answer.value;
  };
  await ask(first);
  return {
    embed: async (texts) => new Float32Array(new Uint8Array(Buffer.from(await ask(texts), 'base64')).buffer),
    close: async () => {
      child.stdin.end();
      await ended.catch(() => {});
    },
  };
}
