import { describe, expect, it } from 'vitest';
import { ConfigReader } from '../src/encoders/config.ts';

const config = new ConfigReader(
  {
    hidden_size: 12,
    n_embd: 24,
    attention_bias: true,
    layer_types: ['full_attention', 'sliding_attention'],
    rope_parameters: { full_attention: { rope_theta: 1e6, rope_type: 'default' }, sliding_attention: null },
    sliding_window: null,
  },
  'tiny/config.json',
);

describe('ConfigReader', () => {
  it('reads values of all types', () => {
    expect(config.integer('hidden_size')).toBe(12);
    expect(config.flag('attention_bias', false)).toBe(true);
    expect(config.texts('layer_types')).toEqual(['full_attention', 'sliding_attention']);
    expect(config.section('rope_parameters')?.section('full_attention')?.positive('rope_theta')).toBe(1e6);
  });

  it('treats null as missing', () => {
    expect(config.integer('sliding_window', { fallback: 4 })).toBe(4);
    expect(config.section('rope_parameters')?.section('sliding_attention')).toBeUndefined();
    expect(config.texts('moe_layers')).toBeUndefined();
  });

  it('supports other names of keys, which take precedence', () => {
    const other = config.withKeys({ hidden_size: 'n_embd', num_attention_heads: 'n_head', attention_bias: 'qkv_bias' });
    expect(other.integer('hidden_size')).toBe(24);
    expect(other.flag('attention_bias', false)).toBe(true);
    expect(() => other.integer('num_attention_heads')).toThrow(/"n_head" must be a whole number/);
  });

  it.each([
    [
      'a number for a list',
      () => config.texts('hidden_size'),
      /tiny\/config.json: "hidden_size" must be a list of texts/,
    ],
    ['a number for a boolean', () => config.flag('n_embd', true), /"n_embd" must be true or false, found 24/],
    ['a list for an object', () => config.section('layer_types'), /"layer_types" must be an object, found \["full/],
    [
      'a string for a number',
      () => config.section('rope_parameters')!.section('full_attention')!.positive('rope_type'),
      /"rope_parameters\.full_attention\.rope_type" must be a number greater than 0, found "default"/,
    ],
    [
      'an unsupported value',
      () => config.section('rope_parameters')!.section('full_attention')!.onlySupports('rope_type', 'llama3'),
      /rope_parameters\.full_attention\.rope_type "default" is not supported/,
    ],
  ])('refuses %s with the file and the full key', (_, read, message) => {
    expect(read).toThrow(message);
  });

  it('shows only the start of a long value', () => {
    const long = new ConfigReader({ hidden_size: Array.from({ length: 1000 }, () => 7) }, 'long/config.json');
    expect(() => long.integer('hidden_size')).toThrow(/^.{1,200}$/su);
  });
});
