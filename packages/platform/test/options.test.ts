import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { expect, test } from 'vitest';

interface Options {
  readonly size?: number | undefined;
  readonly name?: string | undefined;
}
const names: OptionNames<Options> = { size: true, name: true };
const check = (options: unknown): void => checkOptionNames('draw()', options as Options, names);

test('known options pass, and so do those that are left out', () => {
  for (const options of [{}, { size: 1 }, { size: undefined, name: 'a' }, { other: undefined }])
    expect(() => check(options)).not.toThrow();
});

test('an unknown option is refused with the list of known ones', () => {
  for (const name of ['sise', 'toString', '__proto__x', 'constructor']) {
    expect(() => check({ [name]: 1 })).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        message: `draw() has no option "${name}". It has size, name.`,
      }),
    );
  }
});

test.each([null, 'text', 5, [1], true])('%j is not an object of options', (options) => {
  expect(() => check(options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});

test('the compiler demands every name', () => {
  // @ts-expect-error -- `name` is missing
  const few: OptionNames<Options> = { size: true };
  // @ts-expect-error -- there is no `more`
  const many: OptionNames<Options> = { size: true, name: true, more: true };
  expect([few, many]).toHaveLength(2);
});
