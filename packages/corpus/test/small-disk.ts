import { execFileSync } from 'node:child_process';

/** Why a small file system of its own cannot be mounted here, if it cannot. */
export const noMount: string | undefined = ((): string | undefined => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'only root on Linux may mount a small file system';
  try {
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'this machine does not allow mounts';
  }
})();
