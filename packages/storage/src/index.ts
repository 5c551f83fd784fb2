export { folderStorage } from './folder-storage.ts';
export { azStorage, type AzStorageOptions } from './az/az-storage.ts';
export { gsStorage, type GsStorageOptions } from './gs/gs-storage.ts';
export { hubStorage, type HubStorageOptions } from './hub-storage.ts';
export {
  isBucketUri,
  isStorageUri,
  joinLocation,
  locateFile,
  openStorage,
  pinAddresses,
  withoutRevision,
  type StoredFile,
} from './open-storage.ts';
export { s3Storage, type S3StorageOptions } from './s3/s3-storage.ts';
export type {
  FileVersion,
  ListedFile,
  ReadOptions,
  Storage,
  StorageContent,
  StorageOptions,
  WriteOptions,
} from './storage.ts';
export { webStorage, type WebStorageOptions } from './web-storage.ts';
