// `sentvec doctor`: checks what works on this machine, and prints a line for each check.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { backendNames } from '../backends.ts';
import { type Command, defineCommand } from '../command.ts';
import { exitCode } from '../exit-codes.ts';
import { type BackendReport, examineBackend } from '../examine-backend.ts';
import { defaultModel, type LoadContext, withModel } from '../model.ts';
import { statusProgress } from '../progress.ts';
import { outputWidth } from '../table.ts';
import { wrapText } from '../wrap-text.ts';

/** The result of a check: `ok`; `broken`, so that sentvec does not work; or `missing`, for an optional part. */
interface Finding {
  readonly about: string;
  readonly state: 'ok' | 'missing' | 'broken';
  readonly says: string;
}

export const doctor: Command = defineCommand({
  name: 'doctor',
  summary: 'Check which parts of sentvec work on this machine, and why others do not.',
  args: {},
  examples: [{ line: 'sentvec doctor', does: 'Check everything; exit code 1 if something is broken' }],
  async run(context) {
    const quiet = { signal: context.signal, note: () => {} };
    const status = await statusProgress();
    const backends: BackendReport[] = [];
    const findings: Finding[] = [node(), machine(), await cache()];
    try {
      // One after another, so that the speed of each is measured without load from the others.
      for (const name of backendNames) {
        status.update(`Trying the backend ${name} …`);
        backends.push(await examineBackend(name, context.signal));
      }
      status.update('Embedding with the default model …');
      findings.push(...backends.flatMap(backend), ...(await defaultModelWorks(quiet)));
    } finally {
      status.stop();
    }
    findings.push(hub(), usageReports());
    await context.print({ text: renderFindings(findings), json: { findings, backends } });
    return findings.some(({ state }) => state === 'broken') ? exitCode.failure : exitCode.ok;
  },
});

/** One line per finding, with the first sentence of its text. */
function renderFindings(findings: readonly Finding[]): string {
  const signs = { ok: '✓', missing: '–', broken: '✗' } as const;
  const column = Math.max(...findings.map(({ about }) => about.length)) + 4;
  const lines = findings.map(({ about, state, says }) => {
    const [sentence] = says.split(/(?<=[.!?])\s/u);
    return `${signs[state]} ${about}`.padEnd(column) + wrapText(sentence!, outputWidth(), column);
  });
  const hasMore = findings.some(({ says }) => /[.!?]\s/u.test(says));
  return [...lines, ...(hasMore ? ['', 'For details: sentvec doctor --json'] : [])].join('\n');
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const newEnough = major > 20 || (major === 20 && minor >= 16);
  const says = `${process.versions.node} on ${process.platform} ${process.arch}`;
  return {
    about: 'node',
    state: newEnough ? 'ok' : 'broken',
    says: newEnough ? says : `${says}: install 20.16 or newer`,
  };
}

function machine(): Finding {
  return {
    about: 'machine',
    state: 'ok',
    says: `${availableParallelism()} CPUs, ${(totalmem() / 2 ** 30).toFixed(1)} GiB of memory`,
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
    return { about: 'cache', state: 'ok', says: `${folder} is writable` };
  } catch (error) {
    return {
      about: 'cache',
      state: 'broken',
      says: `${(error as Error).message}. Set SENTVEC_CACHE to another folder`,
    };
  }
}

function backend(report: BackendReport): Finding[] {
  const about = `backend ${report.backend}`;
  if (report.state !== 'ok') return [{ about, state: report.state, says: report.reason.split('\n')[0]! }];
  const { device, sentencesPerSecond, difference } = report;
  const [first, ...others] = device.split('; ');
  const check = difference === null ? '' : `, off the model's own values by ${difference.toExponential(0)}`;
  const says = [`${first}: ${sentencesPerSecond.toFixed(0)} sentences/s${check}.`, ...others].join(' ');
  return [{ about, state: 'ok', says }, ...(first!.startsWith('cpu') ? cuda() : [])];
}

/**
 * On Linux the install script of onnxruntime-node fetches the libraries for CUDA, from another host than the registry.
 */
function cuda(): Finding[] {
  if (process.platform !== 'linux' || process.arch !== 'x64') return [];
  const says =
    'not installed; for an NVIDIA GPU: npm rebuild onnxruntime-node (ONNXRUNTIME_NODE_INSTALL=skip does without)';
  return [{ about: 'cuda', state: 'missing', says }];
}

/** Embeds with the default model, and checks that texts with similar meaning get similar vectors. */
async function defaultModelWorks(context: LoadContext): Promise<Finding[]> {
  const about = 'default model';
  try {
    return await withModel({ model: defaultModel, backend: 'auto' }, context, async (embedder) => {
      const { similarity } = await import('@sentvec/core');
      const texts = ['A cat sleeps in the sun.', 'A kitten naps outside.', 'Interest rates rose.'];
      const { vectors } = await embedder.embed(texts, { signal: context.signal });
      const [, kitten = 0, rates = 0] = similarity(vectors, vectors).data;
      // The native tokenizer is loaded only for long texts.
      await embedder.tokenizer.encode(['word '.repeat(1000)], { maxLength: 8, signal: context.signal });
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
    ? 'HF_HUB_OFFLINE is set: only models in the cache can be used'
    : `${endpoint}, ${token ? 'with' : 'without'} HF_TOKEN (not contacted)`;
  return { about: 'hub', state: isOffline ? 'missing' : 'ok', says };
}

/**
 * Whether onnxruntime-node sends usage reports to Microsoft. sentvec turns them off when it loads the library, unless
 * the user has set the variable.
 */
function usageReports(): Finding {
  const { ORT_DISABLE_TELEMETRY: disabled = '1' } = process.env;
  const says = /^(?:1|true|yes|y|on)$/iu.test(disabled)
    ? 'onnxruntime sends no usage reports to Microsoft'
    : `onnxruntime sends usage reports to Microsoft, because ORT_DISABLE_TELEMETRY=${disabled}`;
  return { about: 'telemetry', state: 'ok', says };
}
