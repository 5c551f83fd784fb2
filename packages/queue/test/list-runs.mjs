// Says how many runs there are in a queue.
import { queueRuntime } from '@sentvec/queue/producer';

const runtime = await queueRuntime({ url: process.argv[2] });
console.log(`${(await runtime.list()).length} runs`);
await runtime.close();
