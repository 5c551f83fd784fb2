export { useLite, type UseLiteOptions } from './use-lite.ts';
