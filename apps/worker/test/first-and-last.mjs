// A pooling of one's own: the vectors of the first and the last token, side by side.
import { definePooling } from '@sentvec/core';

export default definePooling({
  name: 'FirstAndLast',
  create: () => ({
    outputSize: (hiddenSize) => 2 * hiddenSize,
    pool({ data, cols }, { mask, rows, cols: length }) {
      const pooled = new Float32Array(rows * 2 * cols);
      for (let row = 0; row < rows; row += 1) {
        const kept = mask.subarray(row * length, (row + 1) * length);
        const places = [kept.indexOf(1), kept.lastIndexOf(1)];
        places.forEach((place, half) => {
          if (place === -1) return;
          const token = (row * length + place) * cols;
          pooled.set(data.subarray(token, token + cols), (row * 2 + half) * cols);
        });
      }
      return { data: pooled, rows, cols: 2 * cols };
    },
  }),
});
