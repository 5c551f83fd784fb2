import { tfjs } from '@sentvec/backend-tfjs';
import { backendContract } from '@sentvec/testing';

backendContract(tfjs({ device: 'wasm' }), { tolerance: 1e-5 });
