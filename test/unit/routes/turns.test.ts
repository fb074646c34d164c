/**
 * The pace at which large answers begin.
 * Goal: small ones never wait, large ones begin a few per turn, in order, and all of them do.
 */
import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { Turns } from '../../../src/routes/turns.ts'

const MEBIBYTE = 1024 * 1024
/** What may begin in one turn, and the answer that begins although the rest is not enough for it. */
const PER_TURN_MAX = (24 + 4) * MEBIBYTE

test('small answers never wait, also behind large ones', async () => {
  const turns = new Turns()
  const large = Array.from({ length: 20 }, () => turns.enter(20 * MEBIBYTE))
  expect(large[0]).toBeUndefined()
  expect(large[19]).toBeInstanceOf(Promise)
  expect(turns.enter(0)).toBeUndefined()
  expect(turns.enter(48 * 1024)).toBeUndefined()
  await Promise.all(large)
  await new Promise(resolve => setImmediate(resolve))
  expect(turns.enter(20 * MEBIBYTE)).toBeUndefined()
})

test('all begin, in order, and no turn is too full', async () => {
  const sizes = fc.array(fc.integer({ min: 49 * 1024, max: 30 * MEBIBYTE }), { maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(sizes, async asked => {
      const turns = new Turns()
      const begun: number[] = []
      let turn = 0
      const bytes = new Map<number, number>()
      const begin = (i: number) => {
        begun.push(i)
        const taken = Math.min(asked[i] ?? 0, 4 * MEBIBYTE)
        bytes.set(turn, (bytes.get(turn) ?? 0) + taken)
      }
      // Asked for first, so that it counts before anything of the next turn begins.
      const tick = () => {
        turn += 1
        if (turn < asked.length + 2) setImmediate(tick)
      }
      setImmediate(tick)
      const waits = asked.map((size, i) => {
        const wait = turns.enter(size)
        if (wait === undefined) begin(i)
        return wait?.then(() => begin(i))
      })
      await Promise.all(waits)
      expect(begun).toEqual(asked.map((_, i) => i))
      for (const sum of bytes.values()) expect(sum).toBeLessThanOrEqual(PER_TURN_MAX)
    }),
    { numRuns: 50 },
  )
})

test('what takes long ends its turn, and every turn begins something', async () => {
  let now = 0
  const turns = new Turns(() => now)
  const begun: number[] = []
  // As slow as a machine gets: 5 ms for each.
  const begin = (i: number) => {
    begun.push(i)
    now += 5
  }
  const waits = Array.from({ length: 9 }, (_, i) => {
    const wait = turns.enter(MEBIBYTE)
    if (wait === undefined) begin(i)
    return wait?.then(() => begin(i))
  })
  expect(begun).toEqual([0, 1])
  let most = 0
  for (let turn = 0; turn < 20 && begun.length < waits.length; turn++) {
    const before = begun.length
    await new Promise(resolve => setImmediate(resolve))
    most = Math.max(most, begun.length - before)
  }
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  expect(most).toBe(2)
})
