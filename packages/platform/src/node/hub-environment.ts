import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { huggingFaceEndpoint } from '../hub-endpoint.ts';

/** The variables of an environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says about the hub, in the variables of `huggingface_hub`. */
export interface HubEnvironment {
  /** `HF_ENDPOINT`. */
  readonly endpoint: string;
  /** `HF_HUB_CACHE`, or `hub` in `HF_HOME`. */
  readonly cacheDirectory: string;
  /** `HF_HUB_OFFLINE` (also `TRANSFORMERS_OFFLINE`). */
  readonly offline: boolean;
  /**
   * `HF_TOKEN`, or the content of the file that `hf auth login` writes (`HF_TOKEN_PATH`, or `token` in `HF_HOME`).
   */
  readonly token: string | undefined;
}

/** Reads the variables, and the token from its file when no variable has it. */
export async function readHubEnvironment(environment: Environment = process.env): Promise<HubEnvironment> {
  const home =
    environment['HF_HOME'] || join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'huggingface');
  return {
    endpoint: environment['HF_ENDPOINT'] || huggingFaceEndpoint,
    cacheDirectory: expandHome(
      environment['HF_HUB_CACHE'] || environment['HUGGINGFACE_HUB_CACHE'] || join(home, 'hub'),
    ),
    offline: isTrue(environment['HF_HUB_OFFLINE']) || isTrue(environment['TRANSFORMERS_OFFLINE']),
    token:
      environment['HF_TOKEN']?.trim() ||
      environment['HUGGING_FACE_HUB_TOKEN']?.trim() ||
      (await readToken(expandHome(environment['HF_TOKEN_PATH'] || join(home, 'token')))),
  };
}

async function readToken(path: string): Promise<string | undefined> {
  const content = await readFile(path, 'utf8').catch(() => '');
  return content.trim() || undefined;
}

function isTrue(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/iu.test(value ?? '');
}

function expandHome(path: string): string {
  return path.replace(/^~(?=$|[/\\])/u, homedir());
}
