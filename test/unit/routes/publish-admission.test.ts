/**
 * Bodies of publishes are let in as there is room, in the order of their arrival.
 * @module
 */
import { expect, test } from 'bun:test'
import { Admission } from '../../../src/routes/publish-admission.ts'

const MB = 1024 * 1024

test('never more bytes at once than there is room for, and nobody is passed over', async () => {
  const admission = new Admission()
  const done: number[] = []
  let bytes = 0
  let most = 0
  const sizes = [100, 100, 1, 20, 128, 3, 64, 64, 64]
  await Promise.all(
    sizes.map((size, i) =>
      admission.run(size * MB, async () => {
        bytes += size
        most = Math.max(most, bytes)
        await Bun.sleep(2)
        bytes -= size
        done.push(i)
      }),
    ),
  )
  expect(most).toBeLessThanOrEqual(128)
  expect(done.toSorted((a, b) => a - b)).toEqual(sizes.map((_, i) => i))
  expect(bytes).toBe(0)
})

test('small ones pass large ones that wait for a place, and nothing else', async () => {
  const admission = new Admission()
  const gate = Promise.withResolvers<undefined>()
  const inside: string[] = []
  const enter = (bytes: number, who: string) =>
    admission.run(bytes, () => {
      inside.push(who)
      return gate.promise
    })
  const crowd = Array.from({ length: 33 }, () => enter(MB, 'large'))
  crowd.push(...Array.from({ length: 50 }, () => enter(17_000, 'small')))
  // No room for its bytes: whoever comes after it waits behind it.
  crowd.push(enter(100 * MB, 'huge'), enter(17_000, 'late'))
  await Bun.sleep(0)
  const count = (who: string) => inside.filter(each => each === who).length
  expect([count('large'), count('small'), count('huge')]).toEqual([32, 50, 0])
  gate.resolve(undefined)
  await Promise.all(crowd)
  expect(inside).toHaveLength(85)
})

test('a failure makes room like a success', async () => {
  const admission = new Admission()
  for (let i = 0; i < 5; i += 1) {
    const failed = admission.run(128 * MB, () => Promise.reject(new Error('no')))
    await expect(failed).rejects.toThrow('no')
  }
  expect(await admission.run(128 * MB, async () => 'in')).toBe('in')
})

test('a crowd is told to come back', async () => {
  const admission = new Admission()
  const gate = Promise.withResolvers<string>()
  const crowd = Array.from({ length: 1001 }, () => admission.run(128 * MB, () => gate.promise))
  await expect(admission.run(1, async () => 'late')).rejects.toThrow('retry')
  gate.resolve('in')
  expect(new Set(await Promise.all(crowd))).toEqual(new Set(['in']))
})

// So many bytes each, and how many of them come in at once.
test.each([
  [17_000, 128],
  [80 * 1024, 128],
  [100 * 1024, 32],
  [MB, 32],
  [16 * MB, 8],
])('of 200 bodies of %i bytes, %i are in at once', async (bytes, wanted) => {
  const admission = new Admission()
  const gate = Promise.withResolvers<undefined>()
  let inside = 0
  const crowd = Array.from({ length: 200 }, () =>
    admission.run(bytes, () => {
      inside += 1
      return gate.promise
    }),
  )
  await Bun.sleep(0)
  expect(inside).toBe(wanted)
  gate.resolve(undefined)
  await Promise.all(crowd)
  expect(inside).toBe(200)
  // All have left: there is room for the largest again.
  expect(await admission.run(128 * MB, async () => 'in')).toBe('in')
})
