export { guardIo, ioError, isSystemError } from './node/system-errors.ts';
export {
  createTemporaryFile,
  moveIntoPlace,
  mustBeFree,
  writeFileAtomically,
  writeFolderAtomically,
  type FileContent,
  type FolderFile,
  type FolderOptions,
  type TemporaryFile,
  type WriteOptions,
} from './node/atomic-write.ts';
