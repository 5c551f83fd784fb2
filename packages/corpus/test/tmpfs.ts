import { execFileSync } from 'node:child_process';

/** Why a tmpfs of a test cannot be mounted here, if it cannot. */
export const tmpfsAbsence: string | undefined = ((): string | undefined => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root on Linux may mount a tmpfs';
  try {
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'this machine does not allow mounts';
  }
})();
