import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { SingleFlight } from '../../../src/registries/single-flight.ts'

test('run() starts once for 1,000 callers and gives all of them the same value', async () => {
  const flight = new SingleFlight<object>()
  let starts = 0
  const callers = Array.from({ length: 1000 }, () =>
    flight.run('lodash', async () => {
      starts += 1
      await Bun.sleep(1)
      return {}
    }),
  )
  expect(flight.has('lodash')).toBe(true)
  expect(flight.size).toBe(1)
  const values = await Promise.all(callers)
  expect(starts).toBe(1)
  expect(new Set(values).size).toBe(1)
  expect(flight.size).toBe(0)
})

test('run() shares a rejection and starts again after it', async () => {
  const flight = new SingleFlight<number>()
  const failing = (): Promise<number> => Promise.reject(new Error('down'))
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => flight.run('a', failing)))
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(flight.has('a')).toBe(false)
  expect(await flight.run('a', () => 7)).toBe(7)
})

test('run() turns a synchronous throw into a shared rejection', async () => {
  const flight = new SingleFlight<number>()
  const running = flight.run('a', () => {
    throw new Error('at once')
  })
  expect(flight.has('a')).toBe(true)
  await expect(running).rejects.toThrow('at once')
  expect(flight.size).toBe(0)
})

test('run() keeps keys apart, also those of prototypes', async () => {
  const keys = ['__proto__', 'constructor', 'a', 'b', '']
  const flight = new SingleFlight<string>()
  expect(await Promise.all(keys.map(key => flight.run(key, () => `<${key}>`)))).toEqual(
    keys.map(key => `<${key}>`),
  )
})

test('run() never has two starts of one key under way, whatever the order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.boolean()), { maxLength: 30 }),
      async calls => {
        const flight = new SingleFlight<string>()
        const underWay = new Map<string, number>()
        let worst = 0
        const outcomes = await Promise.allSettled(
          calls.map(async ([key, fails], i) => {
            for (let wait = 0; wait < i % 4; wait += 1) await Promise.resolve()
            return flight.run(key, async () => {
              const running = (underWay.get(key) ?? 0) + 1
              underWay.set(key, running)
              worst = Math.max(worst, running)
              await Promise.resolve()
              underWay.set(key, running - 1)
              if (fails) throw new Error(key)
              return key
            })
          }),
        )
        expect(worst).toBeLessThanOrEqual(1)
        expect(outcomes).toHaveLength(calls.length)
        expect(flight.size).toBe(0)
      },
    ),
    { numRuns: 100 },
  )
})
