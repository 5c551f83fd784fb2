import { listFiles, modelInfo } from '@huggingface/hub';
import { SentvecError } from '../../errors.ts';
import type { HubClient } from '../../hub/client.ts';
import { checkCommit, mostPages, toHubFiles, type HubListing, type ListedEntry } from '../../hub/listing.ts';

/**
 * Asks the hub through its own library, which makes its requests through the client: that repeats them, and explains
 * what fails.
 */
export const listingByLibrary: HubListing = {
  commitOf: (client, revision) =>
    explain(client, async () => {
      const { sha } = await modelInfo({
        ...parameters(client, revision),
        name: client.model,
        revision,
        additionalFields: ['sha'],
      });
      return checkCommit(client, sha);
    }),
  files: (client, commit) =>
    explain(client, async () => {
      const entries: ListedEntry[] = [];
      const repo = { type: 'model', name: client.model } as const;
      for await (const entry of listFiles({ ...parameters(client, commit), repo, revision: commit, recursive: true }))
        entries.push(entry);
      return toHubFiles(client, entries);
    }),
};

function parameters(client: HubClient, revision: string): { hubUrl: string; fetch: typeof fetch } {
  let requests = 0;
  return {
    hubUrl: client.options.endpoint,
    fetch: async (input) => {
      requests += 1;
      if (requests > mostPages) throw client.notFromAHub(`lists files on more than ${mostPages} pages`);
      return client.ask(input instanceof Request ? input.url : String(input), revision);
    },
  };
}

/** An answer that the library cannot parse did not come from a hub. */
async function explain<T>(client: HubClient, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw SentvecError.is(error) ? error : client.notFromAHub('cannot be read', error);
  }
}
