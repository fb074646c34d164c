/**
 * Short work that comes in crowds is done in several turns of the loop, in the order of arrival.
 * @module
 */
import { expect, test } from 'bun:test'
import { LoopTurns } from '../../../src/registries/loop-turns.ts'

/** A crowd asks at once, each for so long by a clock of its own; says in which turn each was done. */
async function done(crowd: number, eachMs: number): Promise<number[]> {
  let nowMs = 0
  let turn = 0
  let isOver = false
  const turns = new LoopTurns(() => nowMs)
  const tick = () => {
    turn += 1
    if (!isOver) setImmediate(tick)
  }
  setImmediate(tick)
  const works = Array.from({ length: crowd }, () =>
    turns.run(() => {
      nowMs += eachMs
      return turn
    }),
  )
  const found = await Promise.all(works)
  isOver = true
  return found
}

test('one is done at once', async () => {
  expect(await done(1, 50)).toEqual([0])
})

test('as many in one turn as there is time for, in order', async () => {
  const found = await done(100, 1)
  const inTurn = new Map<number, number>()
  for (const turn of found) inTurn.set(turn, (inTurn.get(turn) ?? 0) + 1)
  expect([...inTurn.values()]).toEqual(Array.from({ length: 10 }, () => 10))
  expect(found).toEqual(found.toSorted((a, b) => a - b))
})

test('what takes long has its turn for itself', async () => {
  expect(new Set(await done(5, 50)).size).toBe(5)
})

test('all is done, also when nothing takes any time', async () => {
  expect(await done(1000, 0)).toHaveLength(1000)
})

test('a failure is of whoever asked, and holds up nobody', async () => {
  const turns = new LoopTurns()
  const failing = turns.run(() => {
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(await turns.run(async () => 'yes')).toBe('yes')
})

test('others are heard in between', async () => {
  const turns = new LoopTurns()
  let heard = 0
  const timer = setInterval(() => (heard += 1), 1)
  const busy = () => {
    const until = performance.now() + 5
    while (performance.now() < until);
  }
  await Promise.all(Array.from({ length: 40 }, () => turns.run(busy)))
  clearInterval(timer)
  expect(heard).toBeGreaterThan(5)
})
