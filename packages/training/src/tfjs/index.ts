export { tfjsEngine, type TfjsEngineOptions } from './tfjs-engine.ts';
