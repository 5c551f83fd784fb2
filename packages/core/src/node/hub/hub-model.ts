// `hubModel` and its options. What it does is loaded at its first call: most programs open a folder.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import type { DownloadProgress } from '../../hub/download.ts';
import type { ModelFiles } from '../../types.ts';

/** Options of {@link hubModel}. */
export interface HubModelOptions {
  /**
   * A branch, tag or commit.
   * @default 'main'
   */
  readonly revision?: string | undefined;
  /**
   * Folder of the hub's cache.
   * @default `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`
   */
  readonly cacheDir?: string | undefined;
  /**
   * Address of the hub.
   * @default `HF_ENDPOINT`, else `https://huggingface.co`
   */
  readonly endpoint?: string | undefined;
  /**
   * An access token, for models that are private or gated. It is sent to the hub alone.
   * @default `HF_TOKEN`, else what `hf auth login` saved
   */
  readonly token?: string | undefined;
  /**
   * Whether to use the cache only.
   * @default `HF_HUB_OFFLINE`
   */
  readonly offline?: boolean | undefined;
  /**
   * How often a request that failed is made again, with longer and longer waits.
   * @default 4
   */
  readonly retries?: number | undefined;
  /** Called while a file is on its way, also during later reads. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Ends all requests, also those of later reads. */
  readonly signal?: AbortSignal | undefined;
}

/** Names of the options of {@link hubModel}. Loaders that take these options with others separate them by it. */
export const hubOptionNames: OptionNames<HubModelOptions> = {
  revision: true,
  cacheDir: true,
  endpoint: true,
  token: true,
  offline: true,
  retries: true,
  onProgress: true,
  signal: true,
};

/**
 * A model of the Hugging Face hub, kept in the hub's own cache, which Python shares. The revision is pinned to a commit
 * now; the small files are downloaded now, weights when they are first read, so that only the ones in use are. Broken
 * downloads go on where they broke, also in another process; content that differs from the hub's hash never enters the
 * cache. When the hub cannot be reached, or with `offline`, the cache is used as it is.
 * @param name `organization/name`
 * @throws SentvecError `invalid-argument`, `model-not-found`, `model-access-denied`, `download-failed`, `io-failed`,
 * `aborted`
 */
export async function hubModel(
  name: string,
  options: HubModelOptions = {},
): Promise<ModelFiles & { readonly revision: string; readonly directory: string }> {
  checkOptionNames('hubModel()', options, hubOptionNames);
  return (await import('./open-hub-model.ts')).openHubModel(name, options);
}
