import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { Breaker } from '../../../../src/registries/fetch/breaker.ts'

/** A breaker with a clock that stands still until it is told. */
function clocked(): { breaker: Breaker; pass: (ms: number) => void } {
  let now = 1000
  const breaker = new Breaker(() => now)
  return { breaker, pass: ms => (now += ms) }
}

function fail(breaker: Breaker, times: number): void {
  for (let i = 0; i < times; i += 1) breaker.failed()
}

test('opens at the fifth failure in a row and closes with the first answer', () => {
  const { breaker, pass } = clocked()
  fail(breaker, 4)
  expect(breaker.state).toBe('closed')
  breaker.succeeded()
  fail(breaker, 4)
  expect(breaker.enter()).toBe(true)
  breaker.failed()
  expect(breaker.state).toBe('open')
  expect(breaker.enter()).toBe(false)
  expect(breaker.waitMs).toBe(2000)
  pass(1999)
  expect(breaker.enter()).toBe(false)
  pass(1)
  expect(breaker.state).toBe('half-open')
  expect(breaker.enter()).toBe(true)
  breaker.succeeded()
  expect(breaker.state).toBe('closed')
})

test('lets one probe through, and waits twice as long after each that fails, to 30 s', () => {
  const { breaker, pass } = clocked()
  fail(breaker, 5)
  for (const openMs of [2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    expect(breaker.waitMs).toBe(openMs)
    pass(openMs)
    expect(breaker.enter()).toBe(true)
    expect(breaker.enter()).toBe(false)
    breaker.failed()
  }
  pass(30_000)
  expect(breaker.enter()).toBe(true)
  breaker.succeeded()
  fail(breaker, 5)
  expect(breaker.waitMs).toBe(2000)
})

test('learns nothing from requests that were under way when it opened', () => {
  const { breaker } = clocked()
  fail(breaker, 5)
  fail(breaker, 50)
  expect(breaker.waitMs).toBe(2000)
})

test('counts the failures of one URL once', () => {
  const { breaker } = clocked()
  for (let i = 0; i < 100; i += 1) breaker.failed('https://registry.example/broken')
  expect(breaker.state).toBe('closed')
  for (const name of ['a', 'b', 'c', 'd']) breaker.failed(`https://registry.example/${name}`)
  expect(breaker.state).toBe('open')
})

test('lets another probe go when the first is lost', () => {
  const { breaker, pass } = clocked()
  fail(breaker, 5)
  pass(2000)
  expect(breaker.enter()).toBe(true)
  pass(119_999)
  expect(breaker.enter()).toBe(false)
  pass(1)
  expect(breaker.enter()).toBe(true)
})

test('never lets two through while it is not closed, and always lets one through in time', () => {
  const step = fc.constantFrom('enter', 'fail', 'succeed', 'tick')
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const { breaker, pass } = clocked()
      let probes = 0
      for (const name of steps) {
        if (name === 'tick') pass(700)
        if (name === 'fail') breaker.failed()
        if (name === 'succeed') breaker.succeeded()
        if (name === 'fail' || name === 'succeed') probes = 0
        if (name === 'enter' && breaker.state !== 'closed' && breaker.enter()) probes += 1
        expect(probes).toBeLessThanOrEqual(1)
      }
      pass(120_000)
      expect(breaker.enter()).toBe(true)
    }),
  )
})
