#!/usr/bin/env node
import module from 'node:module';

// Uses the compile cache of Node, where this version has one.
module.enableCompileCache?.();
const { main } = await import('../dist/main.js');

process.exitCode = await main(process.argv.slice(2));
