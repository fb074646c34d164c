/**
 * Reading the body of a publish: whole, within its limit, and not for ever.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { publishBody } from '../../../src/routes/publish-body.ts'

/** A request whose body comes in these pieces. */
function sent(pieces: readonly Uint8Array[], pauseMs = 0, headers: Record<string, string> = {}) {
  const left = [...pieces]
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await Bun.sleep(pauseMs)
      const next = left.shift()
      if (next === undefined) controller.close()
      else controller.enqueue(next)
    },
  })
  return { left, request: new Request('http://localhost/x', { method: 'PUT', body, headers }) }
}

const piece = (bytes: number, value: number) => new Uint8Array(bytes).fill(value)

describe('the body of a publish', () => {
  test.each([
    ['no pieces', []],
    ['one piece', [piece(10, 1)]],
    ['pieces of all sizes', [piece(1, 1), piece(0, 2), piece(70_000, 3), piece(200_000, 4)]],
  ])('is what came: %s', async (_, pieces) => {
    const whole = Buffer.concat(pieces)
    const length = { 'content-length': String(whole.byteLength) }
    for (const headers of [{}, length]) {
      const read = await publishBody(sent(pieces, 0, headers).request)
      expect(Buffer.from(read).equals(whole)).toBe(true)
    }
  })

  test.each([
    ['that says no size', {}],
    ['that says a small size', { 'content-length': '200' }],
  ])('is not waited for when one %s trickles', async (_, headers) => {
    const pieces = Array.from({ length: 200 }, () => piece(1, 1))
    const { left, request } = sent(pieces, 5, headers)
    const pace = { graceMs: 40, bytesPerSecondMin: 1024 * 1024 }
    const refused = await publishBody(request, pace).catch((error: unknown) => String(error))
    expect(refused).toContain('too slowly')
    expect(left.length).toBeGreaterThan(100)
  })
})
