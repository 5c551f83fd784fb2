// `hubModel` and its options. The implementation is imported at its first call, since most programs open local folders.
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
   * URL of the hub.
   * @default `HF_ENDPOINT`, else `https://huggingface.co`
   */
  readonly endpoint?: string | undefined;
  /**
   * An access token, for private or gated models. It is sent only to the hub, not to servers that it redirects to.
   * @default `HF_TOKEN`, otherwise the token saved by `hf auth login`
   */
  readonly token?: string | undefined;
  /**
   * Whether to use only the cache, without any request.
   * @default `HF_HUB_OFFLINE`
   */
  readonly offline?: boolean | undefined;
  /**
   * How often a failed request is retried, with exponential backoff.
   * @default 4
   */
  readonly retries?: number | undefined;
  /** Called while a file is being downloaded, also during later reads. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Cancels all requests, including those of later reads. */
  readonly signal?: AbortSignal | undefined;
}

/** Names of the options of {@link hubModel}, for loaders that separate them from their own options. */
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
 * A model from the Hugging Face hub, stored in the hub's own cache, which is shared with Python. The revision is
 * resolved to a commit at once. Small files are downloaded at once, weights only when they are first read. Interrupted
 * downloads are resumed, also by other processes; content whose hash is wrong never enters the cache. When the hub
 * cannot be reached, or with `offline`, the cached files are used.
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
