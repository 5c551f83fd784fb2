import { plainBackend } from '@sentvec/architectures';
import { backendContract } from '@sentvec/testing';

backendContract(plainBackend());
