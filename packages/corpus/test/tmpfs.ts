import { execFileSync } from 'node:child_process';

/** The reason why tests cannot mount a tmpfs on this machine, or `undefined` if they can. */
export const reasonWithoutTmpfs: string | undefined = ((): string | undefined => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root on Linux may mount a tmpfs';
  try {
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'this machine does not allow mounts';
  }
})();
