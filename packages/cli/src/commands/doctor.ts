import { mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { backendNames } from '../backends.ts';
import { type Command, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { type BackendReport, examineBackend } from '../examine-backend.ts';
import { defaultModel, type LoadContext, withModel } from '../model.ts';

/** What was looked at: works, does not (and sentvec with it), or is missing without harm. */
interface Finding {
  readonly about: string;
  readonly state: 'ok' | 'missing' | 'broken';
  readonly says: string;
}

export const doctor: Command = defineCommand({
  name: 'doctor',
  summary: 'What works on this machine, what does not, and why.',
  args: {},
  examples: [{ line: 'sentvec doctor', does: 'Look at everything; exit code 1 when something is broken' }],
  async run(context) {
    const backends: BackendReport[] = [];
    // One after the other, so that each has the machine to itself.
    for (const name of backendNames) backends.push(await examineBackend(name, context));
    const findings = [
      node(),
      machine(),
      await cache(),
      ...backends.map(backend),
      ...(await defaultModelWorks(context)),
      hub(),
      usageReports(),
    ];
    const signs = { ok: '✓', missing: '–', broken: '✗' } as const;
    const width = Math.max(...findings.map(({ about }) => about.length));
    const text = findings.map(({ about, state, says }) => `${signs[state]} ${about.padEnd(width)}  ${says}`).join('\n');
    await context.print({ text, json: { findings, backends } });
    return findings.some(({ state }) => state === 'broken') ? exitCode.failure : exitCode.ok;
  },
});

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const newEnough = major > 20 || (major === 20 && minor >= 11);
  const says = `${process.versions.node} on ${process.platform} ${process.arch}`;
  return {
    about: 'node',
    state: newEnough ? 'ok' : 'broken',
    says: newEnough ? says : `${says}: install 20.11 or newer`,
  };
}

function machine(): Finding {
  return {
    about: 'machine',
    state: 'ok',
    says: `${availableParallelism()} processors, ${(totalmem() / 2 ** 30).toFixed(1)} GiB of memory`,
  };
}

async function cache(): Promise<Finding> {
  const { cacheDirectory } = await import('@sentvec/core/node');
  const folder = cacheDirectory();
  const probe = join(folder, `.probe-${process.pid}`);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(probe, '');
    await rm(probe);
    return { about: 'cache', state: 'ok', says: `${folder} can be written` };
  } catch (error) {
    return {
      about: 'cache',
      state: 'broken',
      says: `${(error as Error).message}. Name another folder in SENTVEC_CACHE`,
    };
  }
}

function backend(report: BackendReport): Finding {
  const about = `backend ${report.backend}`;
  if (report.state !== 'ok') return { about, state: report.state, says: report.reason.split('\n')[0]! };
  const { device, sentencesPerSecond, difference } = report;
  const check = difference === null ? '' : `; off the model's own values by ${difference.toExponential(1)}`;
  return { about, state: 'ok', says: `${device}; ${sentencesPerSecond.toFixed(0)} sentences/s${check}` };
}

/** The whole way from text to vector, judged by whether meaning comes out. */
async function defaultModelWorks(context: LoadContext): Promise<Finding[]> {
  const about = 'default model';
  try {
    return await withModel({ model: defaultModel, backend: 'auto' }, context, async (embedder) => {
      const { similarity } = await import('@sentvec/core');
      const texts = ['A cat sleeps in the sun.', 'A kitten naps outside.', 'Interest rates rose.'];
      const { vectors } = await embedder.embed(texts, { signal: context.signal });
      const [, kitten = 0, rates = 0] = similarity(vectors, vectors).data;
      const says = `${vectors.cols} dimensions; a cat is ${kitten.toFixed(2)} like a kitten, ${rates.toFixed(2)} like interest rates`;
      return [tokenizer(embedder.tokenizer.name), { about, state: kitten > rates ? 'ok' : 'broken', says }];
    });
  } catch (error) {
    if (context.signal.aborted) throw error;
    return [{ about, state: 'broken', says: (error as Error).message }];
  }
}

function tokenizer(name: string): Finding {
  const about = 'tokenizer';
  if (name === 'huggingface-rust') return { about, state: 'ok', says: 'native' };
  return {
    about,
    state: 'missing',
    says: 'JavaScript; for the native one, several times as fast: npm install tokenizers',
  };
}

function hub(): Finding {
  const { HF_ENDPOINT: endpoint = 'https://huggingface.co', HF_HUB_OFFLINE: offline, HF_TOKEN: token } = process.env;
  const isOffline = offline !== undefined && !['', '0', 'false'].includes(offline.toLowerCase());
  const says = isOffline
    ? 'HF_HUB_OFFLINE is set: only what is downloaded already'
    : `${endpoint}, ${token ? 'with' : 'without'} HF_TOKEN (not contacted)`;
  return { about: 'hub', state: isOffline ? 'missing' : 'ok', says };
}

/** What onnxruntime-node tells Microsoft. sentvec sets the variable, unless it is set, when it loads the library. */
function usageReports(): Finding {
  const { ORT_DISABLE_TELEMETRY: disabled = '1' } = process.env;
  const says = /^(?:1|true|yes|y|on)$/iu.test(disabled)
    ? 'onnxruntime reports nothing to Microsoft'
    : `onnxruntime reports usage to Microsoft, because ORT_DISABLE_TELEMETRY=${disabled}`;
  return { about: 'telemetry', state: 'ok', says };
}
