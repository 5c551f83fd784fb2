import type { Workflow } from '@sentvec/workflow';

declare const hanging: Workflow<{ fifo: string; blocks?: boolean }, unknown>;
export default hanging;
