import { homedir, platform } from 'node:os';
import { join } from 'node:path';

/**
 * The folder for files that can be made again (converted models, recorded graphs): `SENTVEC_CACHE` when set, else the
 * platform's place for caches (`$XDG_CACHE_HOME`, `~/Library/Caches`, `%LOCALAPPDATA%`). It need not exist yet.
 * Downloads from the hub are elsewhere, in the hub's own cache (`HF_HOME`).
 */
export function cacheDirectory(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const chosen = environment['SENTVEC_CACHE'];
  return chosen ? chosen : join(platformCaches(environment), 'sentvec');
}

function platformCaches(environment: Readonly<Record<string, string | undefined>>): string {
  switch (platform()) {
    case 'darwin':
      return join(homedir(), 'Library', 'Caches');
    case 'win32':
      return environment['LOCALAPPDATA'] || join(homedir(), 'AppData', 'Local');
    default:
      return environment['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  }
}
