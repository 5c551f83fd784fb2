/** Reads the statistics of Redis since it was started. */
export async function readStatistics(connection) {
  const info = await connection.info('everything');
  const number = (name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]);
  const commands = Object.fromEntries(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/gm)].map(([, name, calls, microseconds]) => [
      name,
      { calls: Number(calls), seconds: Number(microseconds) / 1e6 },
    ]),
  );
  return {
    at: performance.now() / 1000,
    commands,
    calls: Object.values(commands).reduce((sum, { calls }) => sum + calls, 0),
    cpuSeconds: number('used_cpu_user') + number('used_cpu_sys'),
    sentBytes: number('total_net_output_bytes'),
    memory: number('used_memory'),
    clients: number('connected_clients'),
  };
}

/** Returns the rates per second between two readings. */
export function ratesBetween(before, after) {
  const seconds = after.at - before.at;
  const per = (name) => (after[name] - before[name]) / seconds;
  const commands = Object.entries(after.commands)
    .map(([name, { calls, seconds: spent }]) => {
      const earlier = before.commands[name] ?? { calls: 0, seconds: 0 };
      return { name, calls: (calls - earlier.calls) / seconds, cpu: (spent - earlier.seconds) / seconds };
    })
    .sort((a, b) => b.cpu - a.cpu)
    .slice(0, 6);
  return { seconds, calls: per('calls'), cpu: per('cpuSeconds'), sentBytes: per('sentBytes'), commands };
}
