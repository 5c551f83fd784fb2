import type { PoolingPlugin } from '@sentvec/core';

declare const firstAndLast: PoolingPlugin;
export default firstAndLast;
