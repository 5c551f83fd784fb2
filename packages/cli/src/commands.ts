// The registry of all commands, and finding a command on a command line.
import type { Command } from './command.ts';
import { commandSummaries } from './command-summaries.ts';

/** All commands by name. A command is imported only when it is used, so that others do not slow down its start. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  embed: async () => (await import('./commands/embed.ts')).embed,
  update: async () => (await import('./commands/update.ts')).update,
  verify: async () => (await import('./commands/verify.ts')).verify,
  similarity: async () => (await import('./commands/similarity.ts')).similarity,
  search: async () => (await import('./commands/search.ts')).search,
  rerank: async () => (await import('./commands/rerank.ts')).rerank,
  'evaluate sts': async () => (await import('./commands/evaluate-sts.ts')).evaluateSts,
  'evaluate triplet': async () => (await import('./commands/evaluate.ts')).evaluateTriplet,
  'evaluate retrieval': async () => (await import('./commands/evaluate-retrieval.ts')).evaluateRetrieval,
  'evaluate classification': async () => (await import('./commands/evaluate.ts')).evaluateClassification,
  'evaluate clustering': async () => (await import('./commands/evaluate.ts')).evaluateClustering,
  info: async () => (await import('./commands/info.ts')).info,
  export: async () => (await import('./commands/export.ts')).exportModel,
  distill: async () => (await import('./commands/distill.ts')).distill,
  quantize: async () => (await import('./commands/quantize.ts')).quantize,
  'mine-negatives': async () => (await import('./commands/mine-negatives.ts')).mineNegatives,
  label: async () => (await import('./commands/label.ts')).label,
  train: async () => (await import('./commands/train.ts')).trainModel,
  'queue submit': async () => (await import('./commands/queue-submit.ts')).queueSubmit,
  'queue start': async () => (await import('./commands/queue-start.ts')).queueStart,
  'queue schedules': async () => (await import('./commands/queue-schedules.ts')).queueSchedules,
  'queue unschedule': async () => (await import('./commands/queue-schedules.ts')).queueUnschedule,
  'queue status': async () => (await import('./commands/queue-status.ts')).queueStatus,
  'queue watch': async () => (await import('./commands/queue-status.ts')).queueWatch,
  'queue list': async () => (await import('./commands/queue-list.ts')).queueList,
  'queue workers': async () => (await import('./commands/queue-workers.ts')).queueWorkers,
  'queue pause': async () => (await import('./commands/queue-control.ts')).queuePause,
  'queue resume': async () => (await import('./commands/queue-control.ts')).queueResume,
  'queue cancel': async () => (await import('./commands/queue-control.ts')).queueCancel,
  'queue failed': async () => (await import('./commands/queue-failed.ts')).queueFailed,
  'queue replay': async () => (await import('./commands/queue-failed.ts')).queueReplay,
  worker: async () => (await import('./commands/worker.ts')).worker,
  parity: async () => (await import('./commands/parity.ts')).parity,
  doctor: async () => (await import('./commands/doctor.ts')).doctor,
  'completion bash': async () => (await import('./commands/completion.ts')).completionBash,
  'completion zsh': async () => (await import('./commands/completion.ts')).completionZsh,
  'completion fish': async () => (await import('./commands/completion.ts')).completionFish,
};

export const commandNames: readonly string[] = Object.keys(commands);

/** The summary of a command. */
export async function summaryOf(name: string): Promise<string> {
  return commandSummaries[name] ?? (await commands[name]!()).summary;
}

/**
 * Finds the command at the beginning of a command line. Returns it with the arguments after its name, or `undefined` if
 * there is no such command.
 */
export async function findCommand(
  words: readonly string[],
): Promise<{ command: Command; rest: readonly string[] } | undefined> {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    if (words.length >= length && Object.hasOwn(commands, name))
      return { command: await commands[name]!(), rest: words.slice(length) };
  }
  return undefined;
}
