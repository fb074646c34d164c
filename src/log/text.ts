/**
 * The borders between bytes and text, strict in both directions: UTF-8, base64 (RFC 4648, section
 * 4) and decimal sizes. Each reader accepts exactly one spelling of a value, so that no two byte
 * strings mean the same; each answers `undefined` where the input is anything else, because only
 * the caller knows which error that is.
 *
 * @module
 */

// ignoreBOM: a byte order mark is content here, and content that no format of ours allows.
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const ENCODER = new TextEncoder()
const SPACE = 0x20
const LINE_FEED = 0x0a
const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/

/** The UTF-8 bytes of a string; a lone surrogate, which has none, is refused. */
export function encodeText(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new RangeError('text with a lone surrogate has no UTF-8 form')
  return ENCODER.encode(text)
}

/** The string of UTF-8 bytes, or undefined when they are not UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return DECODER.decode(bytes)
  } catch {
    return undefined
  }
}

/** Standard base64 with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  return bytes.toBase64()
}

/** The bytes of canonical base64, or undefined: no white space, no missing or spare bits. */
export function decodeBase64(text: string): Uint8Array | undefined {
  let bytes: Uint8Array
  try {
    bytes = Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' })
  } catch {
    return undefined
  }
  // The platform skips white space; the spelling that counts is the one we would write.
  return bytes.toBase64() === text ? bytes : undefined
}

/** A size or index in decimal without leading zeros, up to 2^53-1, or undefined. */
export function parseDecimal(text: string): number | undefined {
  if (!DECIMAL.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** True when text holds a character below U+0020 other than a line feed. */
export function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < SPACE && code !== LINE_FEED) return true
  }
  return false
}

/** True when both hold the same bytes. Not constant in time: nothing compared here is secret. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
