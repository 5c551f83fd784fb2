/** The flags of WebGPU that are used here; the specification fixes their values (`GPUBufferUsage`, `GPUMapMode`). */
export const bufferUsage = { mapRead: 1, copySource: 4, copyDestination: 8, uniform: 64, storage: 128 } as const;
export const mapForReading = 1;
