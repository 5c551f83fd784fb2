export * from './golden-models.ts';
