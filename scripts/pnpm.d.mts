/** Absolute path of the repository. */
export const root: string;
/** The words that start pnpm of the pinned version. */
export function pnpmCommand(): readonly [string, ...string[]];
