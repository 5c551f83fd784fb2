// Installs system packages that the tests need and that are not on npm, with apt if possible.
import { spawnSync } from 'node:child_process';

const onPath = (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
const libraries = () =>
  spawnSync('sh', ['-c', 'PATH="$PATH:/sbin:/usr/sbin" ldconfig -p'], { encoding: 'utf8' }).stdout ?? '';

const parts = [
  { name: 'redis-server', why: 'the queue tests use a real Redis', isThere: () => onPath('redis-server') },
  {
    name: 'chromium',
    why: 'the browser tests use a real Chromium',
    isThere: () => ['chromium', 'chromium-browser', 'google-chrome'].some(onPath),
  },
  ...['zsh', 'fish'].map((name) => ({
    name,
    why: 'the completion tests run the shells',
    isThere: () => onPath(name),
  })),
  {
    name: 'systemd',
    why: "systemd-analyze checks the worker's unit",
    isThere: () => process.platform !== 'linux' || onPath('systemd-analyze'),
  },
  {
    name: 'libvulkan1',
    why: 'WebGPU in Node needs it to load the software adapter',
    isThere: () => process.platform !== 'linux' || libraries().includes('libvulkan.so.1'),
  },
];

/**
 * Installs missing packages, or prints the required command if it cannot. Tests that need a missing program fail and
 * name it.
 */
export function ensureSystemPackages() {
  const missing = parts.filter(({ isThere }) => !isThere());
  if (missing.length === 0) return;
  const packages = missing.map(({ name }) => name);
  const canInstall = onPath('apt-get') && (process.getuid?.() === 0 || onPath('sudo'));
  if (canInstall) {
    console.error(`Installing ${packages.join(', ')} through apt …`);
    const apt = process.getuid?.() === 0 ? ['apt-get'] : ['sudo', '-n', 'apt-get'];
    const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const call = (...args) => spawnSync(apt[0], [...apt.slice(1), ...args], { env: environment, encoding: 'utf8' });
    call('update');
    const result = call('install', '-y', '--no-install-recommends', ...packages);
    if (result.status === 0) return;
    console.error(result.stderr);
  }
  for (const { name, why } of missing) {
    console.error(
      `${name} is not installed, and ${why}: those tests will fail. Install it: apt-get install ${packages.join(' ')}`,
    );
  }
}
