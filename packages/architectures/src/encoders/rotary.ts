// Rotary position embeddings (Su et al., 2021): their configuration, and the angles by which queries and keys are
// rotated.
import { SentvecError } from '@sentvec/core';
import type { ConfigReader } from './config.ts';
import type { Rotation } from './attention.ts';
import type { TransformerLayers } from './layers.ts';

/**
 * The maximum number of positions, which is more than any published model has. It limits the tables of angles for a
 * damaged configuration.
 */
export const maxPositionsSupported: number = 2 ** 20;

/** Rotary position embeddings for one size of heads. */
export interface RotaryPositions {
  /** The name of the tables of angles, which identifies the frequencies within a model. */
  readonly name: string;
  /** For each pair of entries of a head, the angle between successive positions, in radians (a float32 number). */
  readonly frequencies: readonly number[];
  /** The maximum length of a text in tokens. */
  readonly positions: number;
}

/** The layers for which to read the configuration, and the default of the base. */
interface RotaryOptions {
  /** The default of the base of the frequencies. */
  readonly theta: number;
  /**
   * The type of the layers as transformers names it: `full_attention`, `sliding_attention`.
   * @default one configuration for all layers
   */
  readonly layerType?: string | undefined;
  /**
   * The key of the base in the format of transformers 4, if these layers have their own base. `rope_scaling` does not
   * apply to such layers.
   * @default rope_theta
   */
  readonly thetaKey?: string | undefined;
}

/**
 * Reads the configuration of rotary position embeddings in the formats of transformers (modeling_rope_utils.py):
 * `rope_parameters` of version 5, for all layers or for each type of layer, or `rope_theta` and `rope_scaling` of
 * version 4. The supported types are `default`, `dynamic`, `linear` and `llama3`, and `ntk` of the GTE models.
 * @throws SentvecError `unsupported-model` for another type, or if only a part of each head is rotated; `invalid-model`
 * for an odd size of heads
 */
export function readRotary(
  config: ConfigReader,
  headSize: number,
  { theta, layerType, thetaKey }: RotaryOptions,
): RotaryPositions {
  if (headSize % 2 !== 0) {
    throw new SentvecError(
      'invalid-model',
      `${config.file}: with rotary position embeddings, the size of a head must be even, found ${headSize}.`,
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

/**
 * The number of positions of an architecture without position embeddings.
 * @throws SentvecError `invalid-model`
 */
export function readPositions(config: ConfigReader): number {
  return config.integer('max_position_embeddings', { largest: maxPositionsSupported });
}

/** 1 / theta^(2i / headSize) for each pair i, rounded to float32 like in PyTorch. */
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
  // "dynamic" changes the frequencies only for texts beyond the positions of the model, and such texts are truncated.
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
 * The scaling of Llama 3: frequencies with many rotations within the length of the training are kept, those with few
 * rotations are divided by the factor, and those between are interpolated.
 */
function llama3(section: ConfigReader, config: ConfigReader, factor: number): (frequency: number) => number {
  const [low, high] = [section.positive('low_freq_factor'), section.positive('high_freq_factor')];
  const trainedLength = section.integer('original_max_position_embeddings', { fallback: readPositions(config) });
  return (frequency) => {
    const rotations = (trainedLength * frequency) / (2 * Math.PI);
    const weight = Math.min(Math.max((rotations - low) / (high - low), 0), 1);
    return Math.fround((1 - weight) * (frequency / factor) + weight * frequency);
  };
}

/**
 * The cosines and sines for the positions of a batch. An angle is the product of position and frequency, rounded to
 * float32 like in PyTorch; at position 8,000 the rounding error is up to 2e-4 radians.
 */
export function rotationOf<T>(layers: TransformerLayers<T>, rotary: RotaryPositions): Rotation<T> {
  const { ops, length } = layers;
  const { name, frequencies } = rotary;
  // If the length is known, the table has only as many positions as the next power of two.
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
