/**
 * A thousand clients at once for one package that nobody asked for before (facts: L5).
 * Goal: the registry is asked once, and everybody gets the same whole answer.
 */
import { expect, test } from 'bun:test'
import { herd } from './load-clients.ts'
import { canMeasure, LoadServer, startUpstream } from './load-server.ts'

const CLIENTS = 1000
const SLOW_MS = 300

test.if(canMeasure)(
  `${CLIENTS} clients of a cold package: one request, one answer`,
  async () => {
    const size = { versions: 50, versionBytes: 2000, delayMs: SLOW_MS }
    const names = ['first', '@scope/second']
    await using upstream = await startUpstream(names.map(name => ({ name, ...size })))
    await using server = await LoadServer.start(upstream.said)
    for (const name of names) {
      const began = performance.now()
      const answers = await herd(server.port, `/${name.replace('/', '%2f')}`, CLIENTS)
      const took = Math.round(performance.now() - began)
      const asked: unknown = await (await fetch(`${upstream.said}-/requests/${name}`)).json()
      console.log(`herd of ${CLIENTS} for ${name}: ${String(asked)} upstream request, ${took} ms`)
      expect(asked).toBe(1)
      expect(answers).toHaveLength(CLIENTS)
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
      expect(new Set(answers.map(({ digest }) => digest)).size).toBe(1)
    }
  },
  300_000,
)

test.if(!canMeasure)('is skipped: this is not Linux, or there is no program', () => {
  console.log('test/fault/load-herd.test.ts: NOTHING WAS TESTED')
  expect(canMeasure).toBe(false)
})
