export { locatePackageFile, resolveInstalled, type PackageFile } from './node/installed-files.ts';
export { endProcess } from './node/end-process.ts';
export { withFileLock } from './node/file-lock.ts';
export { readHubEnvironment, type Environment, type HubEnvironment } from './node/hub-environment.ts';
export { makeFolder } from './node/make-folder.ts';
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
export {
  IncomingCalls,
  OutgoingCalls,
  transferred,
  type CallContext,
  type Caller,
  type CallOptions,
  type Handlers,
  type Message as ChannelMessage,
} from './node/channel.ts';
export {
  serveThread,
  startThread,
  type ServeOptions,
  type Thread,
  type ThreadOptions,
  type ThreadProtocol,
  type ThreadService,
} from './node/threads.ts';
