// A plugin with a custom pooling: it concatenates the vectors of the first and the last token.
import { definePooling } from '@sentvec/core';

export default definePooling({
  name: 'FirstAndLast',
  create: () => ({
    outputSize: (hiddenSize) => 2 * hiddenSize,
    pool({ data, cols }, { mask, rows, cols: length }) {
      const pooled = new Float32Array(rows * 2 * cols);
      for (let row = 0; row < rows; row += 1) {
        const tokens = mask.subarray(row * length, (row + 1) * length);
        const positions = [tokens.indexOf(1), tokens.lastIndexOf(1)];
        positions.forEach((position, half) => {
          if (position === -1) return;
          const token = (row * length + position) * cols;
          pooled.set(data.subarray(token, token + cols), (row * 2 + half) * cols);
        });
      }
      return { data: pooled, rows, cols: 2 * cols };
    },
  }),
});
