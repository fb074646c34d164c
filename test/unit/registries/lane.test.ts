import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { Lane } from '../../../src/registries/lane.ts'

const ORIGIN = 'https://registry.example'

test('enter() lets so many in at once, the others in their order', async () => {
  const lane = new Lane(ORIGIN, 2, 10)
  const entered: number[] = []
  const places = [0, 1, 2, 3].map(async n => {
    const release = await lane.enter(1000)
    entered.push(n)
    return release
  })
  const first = await places[0]
  await places[1]
  await Bun.sleep(5)
  expect(entered).toEqual([0, 1])
  first?.()
  const third = await places[2]
  expect(entered).toEqual([0, 1, 2])
  // Twice is once.
  first?.()
  await Bun.sleep(5)
  expect(entered).toEqual([0, 1, 2])
  third?.()
  await places[3]
  expect(entered).toEqual([0, 1, 2, 3])
})

test('enter() turns away when the line is full, and says when to come again', async () => {
  const lane = new Lane(ORIGIN, 1, 1)
  await lane.enter(1000)
  const second = lane.enter(20)
  await Bun.sleep(1)
  await expect(lane.enter(20)).rejects.toMatchObject({ code: 'busy', retryAfterSeconds: 5 })
  await expect(second).rejects.toThrow('no place')
})

test('enter() that gave up takes no place when its turn comes', async () => {
  const lane = new Lane(ORIGIN, 1, 10)
  const release = await lane.enter(1000)
  await expect(lane.enter(5)).rejects.toMatchObject({ code: 'busy' })
  release()
  const next = await lane.enter(100)
  next()
  expect(await lane.enter(100)).toBeFunction()
})

test('enter() never lets more in than there are places', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat({ max: 3 }), { maxLength: 20 }),
      async (parallelMax, holds) => {
        const lane = new Lane(ORIGIN, parallelMax, 100)
        let inside = 0
        let most = 0
        await Promise.all(
          holds.map(async turns => {
            const release = await lane.enter(1000)
            inside += 1
            most = Math.max(most, inside)
            for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
            inside -= 1
            release()
          }),
        )
        expect(most).toBeLessThanOrEqual(parallelMax)
        expect(inside).toBe(0)
      },
    ),
    { numRuns: 50 },
  )
})
