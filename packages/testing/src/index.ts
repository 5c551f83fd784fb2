export * from './golden-models.ts';
export { poolingContract, type PoolingContractOptions, type PooledText } from './pooling-contract.ts';
