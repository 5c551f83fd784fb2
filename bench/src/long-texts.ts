// Time and memory of long texts, alone in a batch, beside PyTorch where a Python with it is named.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '@sentvec/core/node';
import type { EncoderReport, EncoderTask } from './encoder-worker.ts';
import { type ModelSize, randomFolder } from './models/random-folder.ts';
import { describeMachine, markdownTable } from './report.ts';

const usage = `pnpm bench long-texts [--model NAME] [--lengths N,N] [--threads N] [--rounds N] [--python COMMAND] [--json]

Encodes texts of 512 to 8,192 tokens with random weights, and prints seconds and the megabytes above the open session.
Linux only.
--model    only models whose name contains this: MiniLM, ModernBERT pattern, ModernBERT-base
--lengths  default 512,1024,2048,4096,8192
--threads  of the session, and of PyTorch; default: all cores
--rounds   how often each text is encoded; the fastest counts; default 2
--python   a command that starts a Python with torch and transformers: "python3", "chroot /opt/py python3"
--json     print JSON
`;

const miniLm = {
  hidden_size: 384,
  num_hidden_layers: 6,
  num_attention_heads: 12,
  vocab_size: 30_522,
  max_position_embeddings: 8192,
};

const models: readonly ModelSize[] = [
  {
    name: 'MiniLM-L6 size',
    config: { model_type: 'bert', ...miniLm, intermediate_size: 1536, hidden_act: 'gelu', type_vocab_size: 2 },
    stored: 'F32',
  },
  {
    name: 'ModernBERT pattern, MiniLM-L6 size',
    config: { model_type: 'modernbert', ...miniLm, vocab_size: 50_368, intermediate_size: 768, local_attention: 128 },
    stored: 'F32',
  },
  {
    name: 'ModernBERT-base size',
    config: {
      model_type: 'modernbert',
      hidden_size: 768,
      intermediate_size: 1152,
      num_hidden_layers: 22,
      num_attention_heads: 12,
      vocab_size: 50_368,
      max_position_embeddings: 8192,
      local_attention: 128,
    },
    stored: 'F32',
  },
];

/** Prints what `encoder-worker.ts` prints. Weights are PyTorch's own random ones. */
const pytorch = `
import json, sys, time, threading
import torch
from transformers import AutoConfig, AutoModel
task = json.loads(sys.argv[1])
torch.set_num_threads(task["threads"])
def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":")) / 1024
config = dict(task["config"])
began = time.perf_counter()
model = AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config)).eval()
load = time.perf_counter() - began
def encode(tokens):
    ids = torch.arange(tokens).mul(7919).remainder(1000).add(5)[None]
    with torch.inference_mode():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
encode(16)
opened = memory("VmRSS")
lengths = []
for tokens in task["lengths"]:
    open("/proc/self/clear_refs", "w").write("5")
    seconds = float("inf")
    for _ in range(task["rounds"]):
        started = time.perf_counter()
        encode(tokens)
        seconds = min(seconds, time.perf_counter() - started)
    lengths.append({"tokens": tokens, "seconds": seconds, "megabytes": memory("VmHWM") - opened})
print(json.dumps({"loadSeconds": load, "openMegabytes": opened, "lengths": lengths}))
`;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: '' },
    lengths: { type: 'string', default: '512,1024,2048,4096,8192' },
    threads: { type: 'string', default: String(availableParallelism()) },
    rounds: { type: 'string', default: '2' },
    python: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(usage);
else await main();

async function main(): Promise<void> {
  const chosen = models.filter(({ name }) => name.includes(values.model));
  if (chosen.length === 0)
    throw new Error(`--model ${values.model}: there are ${models.map(({ name }) => name).join('; ')}.`);
  const lengths = values.lengths.split(',').map((each) => whole('lengths', each));
  const shared = { lengths, threads: whole('threads', values.threads), rounds: whole('rounds', values.rounds) };
  const results: { model: string; candidate: string; report: EncoderReport }[] = [];
  for (const model of chosen) {
    process.stderr.write(`${model.name} …\n`);
    const folder = await randomFolder(join(cacheDirectory(), 'bench'), model);
    const task: EncoderTask = { folder, ...shared };
    const worker = fileURLToPath(new URL('encoder-worker.js', import.meta.url));
    const report = await reportOf([process.execPath, worker, JSON.stringify(task)]);
    results.push({ model: model.name, candidate: 'sentvec', report });
    if (values.python === undefined) continue;
    const command = [...values.python.split(' '), '-c', pytorch, JSON.stringify({ config: model.config, ...shared })];
    results.push({ model: model.name, candidate: 'PyTorch', report: await reportOf(command) });
  }
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ machine: describeMachine(), ...shared, results }, undefined, 2)}\n`
      : `${describeMachine()}, ${shared.threads} threads\n\n${tableOf(results)}\n`,
  );
}

function whole(option: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new Error(`--${option} wants whole numbers above 0, not "${text}".`);
}

function tableOf(results: readonly { model: string; candidate: string; report: EncoderReport }[]): string {
  const header = ['model', 'candidate', 'loaded in', 'open', 'tokens', 'seconds', 'tokens/s', 'MB above'];
  const cells = results.flatMap(({ model, candidate, report }) =>
    report.lengths.map(({ tokens, seconds, megabytes }, index) => [
      ...(index === 0
        ? [model, candidate, `${report.loadSeconds.toFixed(1)} s`, `${report.openMegabytes.toFixed(0)} MB`]
        : ['', '', '', '']),
      String(tokens),
      seconds.toFixed(2),
      (tokens / seconds).toFixed(0),
      megabytes.toFixed(0),
    ]),
  );
  return markdownTable(header, cells);
}

/** Runs a program that prints a report. */
async function reportOf([command, ...words]: readonly string[]): Promise<EncoderReport> {
  const child = spawn(command!, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (bytes: Buffer) => (printed += bytes.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${command} ended with ${code}.`);
  return JSON.parse(printed.trim().split('\n').at(-1)!) as EncoderReport;
}
