/**
 * Progress on stderr: a bar for people, a line every ten seconds for logs.
 * @module
 */
import { expect, test } from 'bun:test'
import { startProgress } from '../../../src/cli/progress.ts'

function shown(tty: boolean, stepMs: number): string[] {
  const written: string[] = []
  let time = 0
  using progress = startProgress({
    label: 'checking',
    total: 100,
    tty,
    write: text => written.push(text),
    now: () => time,
  })
  for (let step = 0; step < 100; step += 1) {
    time += stepMs
    progress.advance()
  }
  return written
}

test('startProgress() writes a line every ten seconds when nobody looks', () => {
  expect(shown(false, 400)).toEqual([
    'checking: 25 of 100\n',
    'checking: 50 of 100\n',
    'checking: 75 of 100\n',
    'checking: 100 of 100\n',
  ])
  expect(shown(false, 10)).toBeEmpty()
})

test('startProgress() draws one bar over itself and wipes it at the end', () => {
  const written: string[] = []
  let time = 0
  {
    using progress = startProgress({
      label: 'checking',
      total: 4,
      tty: true,
      write: text => written.push(text),
      now: () => time,
    })
    for (let step = 0; step < 2; step += 1) {
      time += 200
      progress.advance()
    }
  }
  expect(written).toEqual([
    '\r\u001B[Kchecking [#####···············]  25 %  1/4',
    '\r\u001B[Kchecking [##########··········]  50 %  2/4',
    '\r\u001B[K',
  ])
})

test('startProgress() of nothing divides by nothing', () => {
  const written: string[] = []
  let time = 0
  const progress = startProgress({
    label: 'x',
    total: 0,
    tty: true,
    write: text => written.push(text),
    now: () => time,
  })
  time = 1000
  progress.advance()
  progress[Symbol.dispose]()
  expect(written[0]).toContain('100 %')
})
