/**
 * The content encodings that bodies are kept in (RFC 9110, section 8.4; zstd: RFC 8878).
 * @module
 */
export type Encoding = 'zstd' | 'gzip' | 'identity'

/** zlib's own middle: above it a third more time saves a hundredth of the bytes. */
export const GZIP_LEVEL = 6
