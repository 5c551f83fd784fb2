// Trains as a configuration says, in a process of its own that a test can kill: node run-training.mjs CONFIG [resume]
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { directoryModel } from '@sentvec/core/node';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';

const [, , file, resume] = process.argv;
const config = parseTrainingConfig(JSON.parse(readFileSync(file, 'utf8')), file);
await trainFromConfig(config, {
  openModel: directoryModel,
  directory: dirname(file),
  resume: resume === 'resume',
  onProgress: ({ step }) => console.log(step),
});
