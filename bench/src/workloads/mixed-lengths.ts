import { passages, sentences } from '../moby-dick.ts';
import { shuffled } from '../random-numbers.ts';
import type { Workload } from '../workload.ts';

const count = 320;
const shortShare = 0.7;

/** A realistic mixture of 70 % short sentences and 30 % passages of about 250 tokens, shuffled. */
export const mixedLengths: Workload = {
  name: 'mix',
  description: `${count} texts, 70 % sentences of about 14 tokens and 30 % passages of about 250, shuffled`,
  texts: async () => {
    const short = shuffled(sentences(4, 12), 2).slice(0, count * shortShare);
    const long = shuffled(passages(150, 250), 3).slice(0, count - short.length);
    return shuffled([...short, ...long], 4);
  },
};
