// A candidate in a process of its own, which reads lines of JSON and answers each with a line: first the model, then texts.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { OpenCandidate } from '../candidate.ts';

/** Starts the process with its first line. It answers `{}` when it is ready, and then base64 of float32 for an array of texts. */
export async function openProcess([command, ...words]: readonly string[], first: object): Promise<OpenCandidate> {
  const child = spawn(command!, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${command} ended with ${code}.`)));
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
