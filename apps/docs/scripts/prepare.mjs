// Copies the default model to public/models/use-lite, from where the playground loads it.
import { cp, mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { useLite } from '@sentvec/model-use-lite';

const { directory } = await useLite();
const folder = fileURLToPath(new URL('../public/models/use-lite', import.meta.url));
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
await cp(directory, folder, { recursive: true });
