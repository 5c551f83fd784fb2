import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { HonoAdapter } from '@bull-board/hono';
import { serveStatic } from '@hono/node-server/serve-static';
import type { QueueOverview } from '@sentvec/queue';
import type { Hono } from 'hono';

/** bull-board over the three queues of BullMQ, to look at only: runs are controlled by their own page. */
export function bullBoard({ queues }: QueueOverview, path: string): Hono {
  const server = new HonoAdapter(serveStatic);
  server.setBasePath(path);
  createBullBoard({
    queues: Object.values(queues).map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
    serverAdapter: server,
    options: { uiConfig: { boardTitle: 'sentvec queues' } },
  });
  return server.registerPlugin();
}
