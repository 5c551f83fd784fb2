#!/usr/bin/env node
import module from 'node:module';

// Where Node has it, what was compiled once is not compiled again.
module.enableCompileCache?.();
const { main } = await import('../dist/main.js');

process.exitCode = await main(process.argv.slice(2));
