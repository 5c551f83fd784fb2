import { homedir, platform } from 'node:os';
import { join } from 'node:path';

/**
 * The folder for files that can be recreated (converted models, recorded graphs): `SENTVEC_CACHE` if set, otherwise
 * `sentvec` in the platform's folder for caches (`$XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches`,
 * `%LOCALAPPDATA%`). The folder may not exist yet. Downloads from the hub are stored in the hub's own cache instead
 * (`HF_HOME`).
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
