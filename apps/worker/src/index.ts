export type { BackendModule } from './backend-module.ts';
export { describeConfiguration, readConfiguration, type LogLevel, type WorkerConfiguration } from './configuration.ts';
export type { Plugin, PluginPart, PluginTools } from './plugins.ts';
export { runWorker, type RunWorkerOptions } from './run-worker.ts';
export { startWorkerApp, type WorkerApp, type WorkerAppOptions } from './worker-app.ts';
