import { setTimeout as sleep } from 'node:timers/promises';

/** Requests that a thread of Node's own pool works on: files, names of hosts. */
const poolRequest = /^(FSReq|GetAddrInfoReq|GetNameInfoReq)/;

/** Milliseconds that such a request has to end by itself. */
const grace = 500;

/**
 * Ends the process, whatever hangs in it. `process.exit` waits for every thread of Node's pool, and one that opens a
 * FIFO or reads from a mount that is away never comes back: then the process is killed, and has no exit code.
 */
export async function endProcess(code?: number): Promise<void> {
  const isBusy = () => process.getActiveResourcesInfo().some((name) => poolRequest.test(name));
  for (const end = performance.now() + grace; isBusy() && performance.now() < end;) await sleep(20);
  if (isBusy()) process.kill(process.pid, 'SIGKILL');
  process.exit(code);
}
