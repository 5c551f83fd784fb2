import { listFiles, modelInfo } from '@huggingface/hub';
import { SentvecError } from '../../errors.ts';
import type { HubClient } from '../../hub/client.ts';
import { checkCommit, maxPages, toHubFiles, type HubListing, type ListedEntry } from '../../hub/listing.ts';

/**
 * Uses the library `@huggingface/hub`, whose requests go through {@link HubClient}: it retries them and explains
 * failures.
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
      if (requests > maxPages) throw client.invalidResponseError(`lists files on more than ${maxPages} pages`);
      return client.get(input instanceof Request ? input.url : String(input), revision);
    },
  };
}

/** Turns errors of the library into SentvecErrors: a response that it cannot parse did not come from a hub. */
async function explain<T>(client: HubClient, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw SentvecError.is(error) ? error : client.invalidResponseError('cannot be read', error);
  }
}
