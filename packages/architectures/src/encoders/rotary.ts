// Rotary positions (Su et al., 2021): how configurations spell them, and the angles that rotate queries and keys.
import { SentvecError } from '@sentvec/core';
import type { ConfigReader } from './config.ts';
import type { Rotation } from './attention.ts';
import type { TransformerLayers } from './layers.ts';

/** More positions than any model has: the tables of a damaged configuration would not fit into memory. */
export const maxPositionsSupported: number = 2 ** 20;

/** Rotary positions of heads of one size. */
export interface RotaryPositions {
  /** The name of the tables of angles: different for different frequencies of one model. */
  readonly name: string;
  /** The angle between two successive positions, in radians as a float32 number, for each pair of entries of a head. */
  readonly frequencies: readonly number[];
  /** The longest text in tokens. */
  readonly positions: number;
}

/** Which layers to read rotary positions for, and the default of the base. */
interface RotaryOptions {
  /** The base of the frequencies where the configuration has none. */
  readonly theta: number;
  /**
   * The kind of layer, in the words of transformers: `full_attention`, `sliding_attention`.
   * @default all layers are alike
   */
  readonly layerType?: string | undefined;
  /**
   * The key of the base in version 4 of transformers, where these layers have their own base. `rope_scaling` does not
   * apply to such layers.
   * @default rope_theta
   */
  readonly thetaKey?: string | undefined;
}

/**
 * Reads rotary positions as transformers spells them (modeling_rope_utils.py): `rope_parameters` of version 5, for all
 * layers or for each type of layer, or `rope_theta` and `rope_scaling` of version 4. The kinds `default`, `dynamic`,
 * `linear` and `llama3` are known, and `ntk` of the GTE models.
 * @throws SentvecError `unsupported-model` for another kind, or when only a part of each head is rotated
 */
export function readRotary(
  config: ConfigReader,
  headSize: number,
  { theta, layerType, thetaKey }: RotaryOptions,
): RotaryPositions {
  if (headSize % 2 !== 0) {
    throw new SentvecError(
      'invalid-model',
      `${config.file}: heads with rotary positions must have an even size, found ${headSize}.`,
      { file: config.file },
    );
  }
  const given = config.section('rope_scaling') ?? config.section('rope_parameters');
  const section =
    (layerType === undefined ? undefined : given?.section(layerType)) ?? (thetaKey === undefined ? given : undefined);
  for (const reader of [config, ...(section === undefined ? [] : [section])])
    reader.onlySupports('partial_rotary_factor', 1);
  const base = config.positive(thetaKey ?? 'rope_theta', theta);
  return {
    name: layerType ?? 'all layers',
    frequencies:
      section === undefined
        ? rotaryFrequencies(headSize, base)
        : scaledFrequencies(headSize, section.positive('rope_theta', base), section, config),
    positions: readPositions(config),
  };
}

/** How many positions a configuration without a table of positions has. @throws SentvecError `invalid-model` */
export function readPositions(config: ConfigReader): number {
  return config.integer('max_position_embeddings', { largest: maxPositionsSupported });
}

/** 1 / theta^(2i / headSize) for each pair i, in float32 as PyTorch computes it. */
export function rotaryFrequencies(headSize: number, theta: number): number[] {
  return Array.from({ length: headSize >> 1 }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / headSize))),
  );
}

function scaledFrequencies(
  headSize: number,
  theta: number,
  section: ConfigReader,
  config: ConfigReader,
): readonly number[] {
  const key = section.text('rope_type', '') === '' ? 'type' : 'rope_type';
  section.onlySupports(key, 'default', 'dynamic', 'linear', 'llama3', 'ntk');
  const kind = section.text(key, 'default');
  const frequencies = rotaryFrequencies(headSize, theta);
  // "dynamic" changes the frequencies only for texts longer than the model's positions, and such texts are cut.
  if (kind === 'default' || kind === 'dynamic') return frequencies;
  const factor = section.positive('factor');
  if (kind === 'linear') return frequencies.map((frequency) => Math.fround(frequency / factor));
  if (kind === 'llama3') return frequencies.map(llama3(section, config, factor));
  section.onlySupports('mixed_b', null);
  if (factor <= 1) return frequencies;
  const slowdown = Math.fround(factor ** (2 / headSize));
  return rotaryFrequencies(headSize, theta * factor).map((frequency) => Math.fround(frequency / slowdown));
}

/**
 * The scaling of Llama 3: a frequency with many turns within the trained length stays as it is, one with few turns is
 * divided by the factor, and those between are interpolated.
 */
function llama3(section: ConfigReader, config: ConfigReader, factor: number): (frequency: number) => number {
  const [low, high] = [section.positive('low_freq_factor'), section.positive('high_freq_factor')];
  const trained = section.integer('original_max_position_embeddings', { fallback: readPositions(config) });
  return (frequency) => {
    const turns = (trained * frequency) / (2 * Math.PI);
    const kept = Math.min(Math.max((turns - low) / (high - low), 0), 1);
    return Math.fround((1 - kept) * (frequency / factor) + kept * frequency);
  };
}

/**
 * Cosines and sines of the positions of a batch. An angle is the product of position and frequency, rounded to float32
 * as in PyTorch: at position 8,000 that rounding is up to 2e-4 radians.
 */
export function rotationOf<T>(layers: TransformerLayers<T>, rotary: RotaryPositions): Rotation<T> {
  const { ops, length } = layers;
  const { name, frequencies } = rotary;
  // Where the length is known, the table covers only the next power of two.
  const positions =
    typeof length === 'number' ? Math.min(rotary.positions, 2 ** Math.ceil(Math.log2(length))) : rotary.positions;
  const table = (kind: 'cosines' | 'sines'): T => {
    const values = layers.constant(`${kind} of ${name} to ${positions}`, [positions, frequencies.length], () =>
      anglesOf(positions, frequencies).map(kind === 'cosines' ? Math.cos : Math.sin),
    );
    return ops.slice(values, 0, 0, length);
  };
  return { cosines: table('cosines'), sines: table('sines') };
}

function anglesOf(positions: number, frequencies: readonly number[]): Float32Array {
  const angles = new Float32Array(positions * frequencies.length);
  for (let i = 0; i < angles.length; i += 1) {
    angles[i] = Math.floor(i / frequencies.length) * frequencies[i % frequencies.length]!;
  }
  return angles;
}
