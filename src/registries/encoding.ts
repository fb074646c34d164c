/**
 * The content encodings that bodies are kept in (RFC 9110, section 8.4; zstd: RFC 8878).
 * @module
 */
export type Encoding = 'zstd' | 'gzip' | 'identity'
