/**
 * One byte range of a body at hand, as RFC 9110 section 14 has it. A list of ranges, another unit
 * and what cannot be read are answered with the whole body, as a server may do.
 * @module
 */

/** From `start` to `end`, both within; `unsatisfiable`: it begins behind the end of the body. */
export type ByteRange = { start: number; end: number } | 'unsatisfiable'

const RANGE = /^bytes=(\d{0,15})-(\d{0,15})$/

/** The range that a `Range` header asks for of `length` bytes; undefined: all of them. */
export function parseRange(header: string | null, length: number): ByteRange | undefined {
  const [, first = '', last = ''] = RANGE.exec(header?.trim() ?? '') ?? []
  if (first === '' && last === '') return undefined
  if (first === '') {
    const suffix = Number(last)
    if (suffix === 0 || length === 0) return 'unsatisfiable'
    return { start: Math.max(0, length - suffix), end: length - 1 }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  if (start >= length) return 'unsatisfiable'
  return { start, end: last === '' ? length - 1 : Math.min(Number(last), length - 1) }
}
