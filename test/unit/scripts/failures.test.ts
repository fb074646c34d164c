/**
 * What the last lines of a run say about what failed in it.
 * Goal: every failed test by its name with what was expected and received, in few lines; read from
 * what this Bun prints, so that another one with another format is noticed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { type Failure, failuresIn, report } from '../../../scripts/failures.ts'

const FAILING = `
import { beforeAll, describe, expect, test } from 'bun:test'
test('passes', () => { console.error('error: said by a test that passed') })
describe('group', () => {
  test('a number', () => {
    console.error('error: said by one that fails')
    expect(270).toBeLessThanOrEqual(252)
  })
  test('an object', () => expect({ a: [1, 2] }).toEqual({ a: [1, 3] }))
  test('thrown [1 ms]', () => { throw new TypeError('odd thing') })
  test('slow', async () => { await new Promise(() => {}) }, 20)
  test('counted', () => expect.assertions(2))
})
describe('hooked', () => {
  beforeAll(() => { throw new Error('no setup') })
  test('never runs', () => {})
})
`
const BROKEN = `import './nothing.ts'`

let output = ''
let failures: Failure[] = []
let folder = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'npmx-registry-failures-'))
  writeFileSync(join(folder, 'a.test.ts'), FAILING)
  writeFileSync(join(folder, 'b.test.ts'), BROKEN)
  const stdio = ['ignore', 'ignore', 'pipe'] as const
  const child = Bun.spawn([process.execPath, 'test', './a.test.ts', './b.test.ts'], {
    cwd: folder,
    stdio: [...stdio],
  })
  output = await new Response(child.stderr).text()
  failures = failuresIn(output)
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const linesOf = (name: string) => failures.find(each => each.name === name)?.lines ?? []

describe('of what bun prints', () => {
  test('every failed test is told once, with its file', () => {
    expect(failures.map(({ file, name }) => `${file}: ${name}`)).toEqual([
      'a.test.ts: group > a number',
      'a.test.ts: group > an object',
      'a.test.ts: group > thrown [1 ms]',
      'a.test.ts: group > slow',
      'a.test.ts: group > counted',
      'a.test.ts: hooked > (unnamed)',
      'b.test.ts: between tests',
    ])
  })

  test('what was expected and received, and where, but not what the test said', () => {
    const [error, expected, received, at, ...rest] = linesOf('group > a number')
    expect(error).toBe('error: expect(received).toBeLessThanOrEqual(expected)')
    expect(expected).toBe('Expected: <= 252')
    expect(received).toBe('Received: 270')
    expect(at).toContain('a.test.ts:7:')
    expect(rest).toEqual([])
    expect(linesOf('group > an object')).toEqual(expect.arrayContaining(['-     3,', '+     2,']))
  })

  test.each([
    ['group > thrown [1 ms]', 'TypeError: odd thing'],
    ['group > slow', '^ this test timed out after 20ms.'],
    ['group > counted', 'AssertionError: expected 2 assertions, but test ended with 0 assertions'],
    ['hooked > (unnamed)', 'error: no setup'],
  ])('%s', (name, line) => {
    expect(linesOf(name)).toContain(line)
  })

  test('a file that cannot be read is a failure', () => {
    expect(linesOf('between tests')[0]).toStartWith("error: Cannot find module './nothing.ts'")
  })

  test('colours change nothing', () => {
    const coloured = output.replaceAll(/^\((pass|fail)\)/gm, '\u001B[31m($1)\u001B[0m')
    expect(failuresIn(coloured)).toEqual(failures)
  })
})

describe('the report', () => {
  test('says how each step ended and what failed in it', () => {
    const steps = [{ title: 'unit', outcome: 'exit code 1', output }]
    const [title, first, error] = report(steps)
    expect(title).toBe('FAILED unit (exit code 1)')
    expect(first).toBe('  a.test.ts: group > a number')
    expect(error).toBe('    error: expect(received).toBeLessThanOrEqual(expected)')
  })

  test('of a step without tests says its last lines', () => {
    const said = `${'noise\n'.repeat(100)}error: not the same bytes\n\n`
    const lines = report([{ title: 'build', outcome: 'exit code 3', output: said }])
    expect(lines.at(0)).toBe('FAILED build (exit code 3)')
    expect(lines.at(-1)).toBe('    error: not the same bytes')
    expect(lines).toHaveLength(13)
  })

  test('of nothing is nothing', () => {
    expect(report([])).toEqual([])
  })

  test('never grows, and has the names of as many tests as fit', () => {
    const counts = fc.array(fc.nat(40), { minLength: 1, maxLength: 7 })
    fc.assert(
      fc.property(counts, fc.nat(30), (tests, size) => {
        const steps = tests.map((count, i) => ({
          title: `step ${i}`,
          outcome: 'exit code 1',
          output: Array.from(
            { length: count },
            (_, n) => `error: ${'x'.repeat(1000)}\n${'more\n'.repeat(size)}(fail) test ${i}.${n}\n`,
          ).join(''),
        }))
        const lines = report(steps)
        expect(lines.length).toBeLessThanOrEqual(60)
        expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(240)
        const named = lines.filter(line => line.includes(': test ')).length
        const all = tests.reduce((sum, count) => sum + count, 0)
        expect(named).toBeGreaterThanOrEqual(Math.min(all, 59 - tests.length))
      }),
    )
  })
})
