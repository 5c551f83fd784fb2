#!/usr/bin/env node
import module from 'node:module';

// The compile cache makes the start faster. Older versions of Node do not have it.
module.enableCompileCache?.();
const { main } = await import('../dist/main.js');

process.exitCode = await main(process.argv.slice(2));
