import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { expect, test } from 'vitest';

interface Options {
  readonly size?: number | undefined;
  readonly name?: string | undefined;
}
const names: OptionNames<Options> = { size: true, name: true };
const check = (options: unknown): void => checkOptionNames('draw()', options as Options, names);

test('options that there are, and ones left out, pass', () => {
  for (const options of [{}, { size: 1 }, { size: undefined, name: 'a' }, { other: undefined }])
    expect(() => check(options)).not.toThrow();
});

test('an option that there is not is refused with those that there are', () => {
  for (const name of ['sise', 'toString', '__proto__x', 'constructor']) {
    expect(() => check({ [name]: 1 })).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        message: `draw() has no option "${name}". It has size, name.`,
      }),
    );
  }
});

test.each([null, 'text', 5, [1], true])('%j is no object of options', (options) => {
  expect(() => check(options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});

test('the compiler misses no name', () => {
  // @ts-expect-error -- `name` is missing
  const few: OptionNames<Options> = { size: true };
  // @ts-expect-error -- there is no `more`
  const many: OptionNames<Options> = { size: true, name: true, more: true };
  expect([few, many]).toHaveLength(2);
});
