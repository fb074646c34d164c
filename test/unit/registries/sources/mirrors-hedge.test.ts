/**
 * Hedged questions: who is asked when, and whose yes counts.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { firstYes } from '../../../../src/registries/sources/mirrors-hedge.ts'

/** A question that is answered when the test says so. */
class Asked {
  readonly #answer = Promise.withResolvers<boolean>()
  isAsked = false

  readonly ask = (): Promise<boolean> => {
    this.isAsked = true
    return this.#answer.promise
  }

  say(answer: boolean): void {
    this.#answer.resolve(answer)
  }
}

const NEVER = { hedgeMs: 60_000, giveUpMs: 60_000 }
const SOON = { hedgeMs: 5, giveUpMs: 60_000 }

function three(): [Asked, Asked, Asked] {
  return [new Asked(), new Asked(), new Asked()]
}

const settle = () => new Promise(resolve => setTimeout(resolve, 1))

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !isSo(); i += 1) await settle()
}

describe('firstYes()', () => {
  test('asks only the first when it says yes', async () => {
    const [a, b, c] = three()
    const answer = firstYes([a.ask, b.ask, c.ask], NEVER)
    a.say(true)
    expect(await answer).toBe(0)
    expect([b.isAsked, c.isAsked]).toEqual([false, false])
  })

  test('asks the next at once after a no', async () => {
    const [a, b, c] = three()
    const answer = firstYes([a.ask, b.ask, c.ask], NEVER)
    a.say(false)
    await until(() => b.isAsked)
    expect([b.isAsked, c.isAsked]).toEqual([true, false])
    b.say(true)
    expect(await answer).toBe(1)
  })

  test('asks the next too when one is slow, and takes whoever says yes first', async () => {
    const [a, b, c] = three()
    const answer = firstYes([a.ask, b.ask, c.ask], SOON)
    await until(() => c.isAsked)
    b.say(true)
    expect(await answer).toBe(1)
    const late = three()
    const other = firstYes(
      late.map(each => each.ask),
      SOON,
    )
    await until(() => late[1].isAsked)
    late[0].say(true)
    expect(await other).toBe(0)
  })

  test('gives up in time, and asks nobody any more', async () => {
    const [a, b, c] = three()
    expect(await firstYes([a.ask, b.ask, c.ask], { hedgeMs: 60_000, giveUpMs: 5 })).toBeUndefined()
    a.say(false)
    await settle()
    expect([b.isAsked, c.isAsked]).toEqual([false, false])
    expect(await firstYes([], NEVER)).toBeUndefined()
  })

  test('fails when a question does', async () => {
    const broken = firstYes([() => Promise.reject(new Error('broken'))], NEVER)
    await expect(broken).rejects.toThrow('broken')
  })

  test('answers as asking one after the other does, when all answer at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 6 }), async answers => {
        const questions = answers.map(answer => () => Promise.resolve(answer))
        const first = answers.indexOf(true)
        expect(await firstYes(questions, NEVER)).toBe(first === -1 ? undefined : first)
      }),
    )
  })
})
