import { expect, it } from 'vitest';
import { simulateFleet } from '../simulation/simulate-fleet.mjs';

it('forty workers, of which a tenth and the coordinator are killed, write each chunk once with a low load on Redis', async () => {
  const { exact, recovery, calls, most } = await simulateFleet({
    workers: 40,
    chunks: 240,
    chunkSeconds: 0.25,
    storeDelay: 2,
    window: 16,
    kill: 0.1,
    killCoordinator: true,
    idleSeconds: 0,
    recovery: { lockDuration: 2000, stalledInterval: 500 },
  });
  expect(exact).toMatchObject({ eachChunkOnce: true, left: 0 });
  expect(recovery!.jobs).toBeGreaterThan(0);
  expect(recovery!.coordinated).toBeGreaterThan(0);
  // The window was adapted to twice the 80 slots of the workers, instead of 16.
  expect(most.inFlight).toBeGreaterThan(80);
  expect(most.inFlight).toBeLessThanOrEqual(160);
  expect(most.memory).toBeLessThan(20e6);
  // Only coordinators read the heartbeats of all workers and the events of batches.
  expect(calls['mget']! * 5).toBeLessThan(calls['set']!);
  expect(calls['xread']!).toBeLessThan(240);
});
