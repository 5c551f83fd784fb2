// Measures time and memory of encoders of given sizes with one text per batch, and compares them with PyTorch if
// `--python` is set.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '@sentvec/core/node';
import type { EncoderReport, EncoderTask } from './encoder-worker.ts';
import { type ModelSize, randomFolder } from './models/random-folder.ts';
import { printReport, type BenchTable } from './report.ts';

/** Python program with the same output as `encoder-worker.ts`. It uses PyTorch's random initial weights. */
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
stored = torch.bfloat16 if task["stored"] == "BF16" else torch.float32
began = time.perf_counter()
model = AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config)).to(stored).eval()
load = time.perf_counter() - began
peak = memory("VmHWM")
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
print(json.dumps({"loadSeconds": load, "loadMegabytes": peak, "openMegabytes": opened, "lengths": lengths}))
`;

/** One of the encoder benchmarks. */
export interface EncoderBench {
  readonly models: readonly ModelSize[];
  /** Default of `--lengths`: the numbers of tokens of the texts. */
  readonly lengths: string;
  /** First lines of the output of `--help`. */
  readonly usage: string;
}

const optionsHelp = `--model    only models whose name contains this
--lengths  tokens of the texts, with commas between
--threads  of the session, and of PyTorch; default: all cores
--rounds   how often each text is encoded; the fastest counts; default 2
--python   a command that starts a Python with torch and transformers: "python3", "chroot /opt/py python3"
--json     print JSON
`;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: '' },
    lengths: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    rounds: { type: 'string', default: '2' },
    python: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** Runs a benchmark with the command-line options of the process. */
export async function benchEncoders({ models, lengths: usual, usage }: EncoderBench): Promise<void> {
  if (values.help) {
    process.stdout.write(`${usage}\n${optionsHelp}`);
    return;
  }
  const chosen = models.filter(({ name }) => name.includes(values.model));
  if (chosen.length === 0)
    throw new Error(
      `--model ${values.model} matches none of the models: ${models.map(({ name }) => name).join('; ')}.`,
    );
  const lengths = (values.lengths ?? usual).split(',').map((each) => whole('lengths', each));
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
    const command = [...values.python.split(' '), '-c', pytorch, JSON.stringify({ ...model, ...shared })];
    results.push({ model: model.name, candidate: 'PyTorch', report: await reportOf(command) });
  }
  const method = `${shared.threads} threads, the fastest of ${shared.rounds} rounds`;
  printReport({ method, tables: [tableOf(results)], results }, values.json);
}

function whole(option: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new Error(`--${option} must be whole numbers above 0, not "${text}".`);
}

function tableOf(results: readonly { model: string; candidate: string; report: EncoderReport }[]): BenchTable {
  const header = ['model', 'candidate', 'loaded in', 'at most', 'open', 'tokens', 'seconds', 'tokens/s', 'MB above'];
  const rows = results.flatMap(({ model, candidate, report }) =>
    report.lengths.map(({ tokens, seconds, megabytes }, index) => [
      ...(index === 0
        ? [
            model,
            candidate,
            `${report.loadSeconds.toFixed(1)} s`,
            `${report.loadMegabytes.toFixed(0)} MB`,
            `${report.openMegabytes.toFixed(0)} MB`,
          ]
        : ['', '', '', '', '']),
      String(tokens),
      seconds.toFixed(2),
      (tokens / seconds).toFixed(0),
      megabytes.toFixed(0),
    ]),
  );
  return { header, rows };
}

/** Runs a program that prints a report as JSON, and returns the report. */
async function reportOf([command, ...words]: readonly string[]): Promise<EncoderReport> {
  const child = spawn(command!, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (bytes: Buffer) => (printed += bytes.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${command} exited with code ${code}.`);
  return JSON.parse(printed.trim().split('\n').at(-1)!) as EncoderReport;
}
