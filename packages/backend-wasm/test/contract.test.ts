import { wasm } from '@sentvec/backend-wasm';
import { backendContract } from '@sentvec/testing';

backendContract(wasm(), { tolerance: 1e-5 });
