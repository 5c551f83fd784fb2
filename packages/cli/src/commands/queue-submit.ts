import { resolve } from 'node:path';
import type { CorpusRequest } from '@sentvec/corpus';
import type { Command } from '../command.ts';
import { defineCorpusCommand } from '../corpus-arguments.ts';
import { defaultModel, modelArguments } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { queueArguments, startArguments, withQueue } from '../queue/connection.ts';
import { UsageError } from '../usage-error.ts';

export const queueSubmit: Command = defineCorpusCommand({
  name: 'queue submit',
  summary: 'Have the workers of a queue embed a corpus.',
  args: {
    model: modelArguments.model,
    ...startArguments,
    ...queueArguments,
  },
  examples: [
    {
      line: 'sentvec queue submit /data/reviews.jsonl --text body -o /data/vectors',
      does: 'As sentvec embed, by workers that see /data',
    },
    { line: 'sentvec queue watch "$(sentvec queue submit /data/*.jsonl -o /data/vectors)"', does: 'And watch it' },
  ],
  notes: [
    'Prints the id of the run. The same request again joins the run that is going on, unless its files have changed; a run that ended unfinished is continued. Only one run writes to a folder at a time.',
    'The workers must reach inputs and output under the same absolute paths, and allow them (sentvec worker --root, --bucket) and the model (--model).',
  ],
  async run(request, { args, print, note }) {
    const { embedCorpusWorkflow } = await import('@sentvec/workflow');
    const priority = wholeNumber(args.priority, '--priority');
    const { isStorageUri, locateFile } = await import('@sentvec/storage');
    for (const input of [...request.inputs, request.output]) if (isStorageUri(input)) locateFile(input);
    const input = { model: absoluteModel(args.model), request: absolutePaths(request, isStorageUri) };
    await withQueue(args, async (runtime) => {
      const run = await runtime.start(embedCorpusWorkflow(), input, { id: args['run-id'], priority });
      const status = await run.status();
      if (status.notice) note(status.notice);
      note(`Run ${run.id} is ${status.state}. Watch it: sentvec queue watch ${run.id}`);
      await print({ text: run.id, json: status });
    });
  },
});

/** Workers have another working folder. */
function absolutePaths(request: CorpusRequest, isUri: (text: string) => boolean): CorpusRequest {
  if (request.inputs.includes('-'))
    throw new UsageError('Workers cannot read the standard input of this command: write it to a file.');
  const locate = (location: string): string => (isUri(location) ? location : resolve(location));
  return { ...request, inputs: request.inputs.map(locate), output: locate(request.output) };
}

function absoluteModel(model: string): string {
  return model !== defaultModel && /^\.{0,2}\//.test(model) ? resolve(model) : model;
}
