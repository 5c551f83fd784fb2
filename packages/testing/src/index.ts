export { backendChecks, type BackendCheck, type BackendCheckOptions } from './backend-checks.ts';
export { backendContract, type BackendContractOptions } from './backend-contract.ts';
export * from './golden-expectation.ts';
export * from './golden-models.ts';
export { poolingContract, type PoolingContractOptions, type PooledText } from './pooling-contract.ts';
export { runtimeContract, type RuntimeContractOptions } from './runtime-contract.ts';
export type { ConnectedRuntime } from './runtime-contract-fixture.ts';
export { sinkContract, type ReadShard, type SinkContractOptions } from './sink-contract.ts';
export { freePort, startRedis, type RedisServer, type RedisServerOptions } from './redis-server.ts';
export { gitId, HubServer, startHub, type HubCall, type HubRepository } from './hub-server.ts';
export { storageContract, type StorageContractOptions } from './storage-contract.ts';
export { startAz, type AzServer, type AzServerOptions } from './az-server.ts';
export { startGs, type GsServer, type GsServerOptions } from './gs-server.ts';
export type {
  FaultOf,
  ObjectCall,
  ObjectFault,
  ObjectReply,
  ObjectServer,
  ObjectServerOptions,
  StoredObject,
} from './object-server.ts';
export { startS3, type S3Server, type S3ServerOptions } from './s3-server.ts';
