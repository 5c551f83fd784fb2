/**
 * Writes to standard output, waiting while the reader is slow. When the reader has gone (`| head`) nobody wants the
 * rest: the process ends, successfully.
 */
export function writeResult(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text.endsWith('\n') ? text : `${text}\n`, (error) => {
      if (error === undefined || error === null) resolve();
      else if (isClosedPipe(error)) process.exit(0);
      else reject(error);
    });
  });
}

/** Ends the process quietly when standard output or standard error is closed by its reader. */
export function handleClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (isClosedPipe(error)) process.exit(0);
      throw error;
    });
  }
}

function isClosedPipe(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EPIPE';
}
