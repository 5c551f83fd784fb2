// Programs that the tests drive for real and that npm does not carry: installed through apt when missing and possible.
import { spawnSync } from 'node:child_process';

const programs = [
  { names: ['redis-server'], packages: ['redis-server'], why: 'the queue tests talk to a real Redis' },
  {
    names: ['chromium', 'chromium-browser', 'google-chrome'],
    // Chromium brings the software adapter; WebGPU in Node loads it through the system's libvulkan.
    packages: ['chromium', 'libvulkan1'],
    why: 'the browser tests drive a real Chromium',
  },
];

const onPath = (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;

/** Installs what is missing; says clearly what to do where it cannot. Tests that need a missing program fail with that reason. */
export function ensureSystemPackages() {
  const missing = programs.filter(({ names }) => !names.some(onPath));
  if (missing.length === 0) return;
  const packages = missing.flatMap((program) => program.packages);
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
  for (const { names, why } of missing) {
    console.error(`${names[0]} is not installed, and ${why}: those tests will fail. Install it: apt-get install ${packages.join(' ')}`);
  }
}
