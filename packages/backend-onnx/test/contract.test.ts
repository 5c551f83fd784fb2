import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { backendContract } from '@sentvec/testing';
import { afterAll } from 'vitest';

const cacheDirectory = await mkdtemp(join(tmpdir(), 'sentvec-onnx-contract-'));
afterAll(() => rm(cacheDirectory, { recursive: true, force: true }));

backendContract(onnx({ cacheDirectory }));
