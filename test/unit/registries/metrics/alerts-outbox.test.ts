/**
 * What waits for the webhook across restarts. Goal: what was recorded while one was configured is
 * told once at least, and nobody is told of what was before, is too old, or is too much.
 */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { Incidents } from '../../../../src/db/incidents.ts'
import type { RegistryDb } from '../../../../src/db/registry-db.ts'
import { WaitingMessages } from '../../../../src/db/waiting-messages.ts'
import { type Alert, Alerts } from '../../../../src/registries/metrics/alerts.ts'
import { Outbox } from '../../../../src/registries/metrics/alerts-outbox.ts'
import { FRESH, Instance } from '../../../fixtures/instance.ts'
import { startFixtureRegistry } from '../../../fixtures/registry.ts'
import { openLog, temporaryDir } from '../../db/data-dir.ts'
import { until } from '../../../fixtures/patience.ts'

const NOW = '2026-11-22T08:31:07Z'
const DAY_MS = 86_400_000
/** A registry is asked at most once a second for the same name, even on request. */
const NEXT_CHECK_MS = 1_050
const URL_A = 'https://a.example/hook/with-a-secret'
const URL_B = 'https://b.example/hook'

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

function found(version: string, code = 'conflict') {
  const about = { namespace: 'npm', name: 'victim', version, claim: 'x' }
  return { ...about, code, sentence: 'two sources disagree', evidence: '{}' }
}

function opened(): RegistryDb {
  return stack.use(openLog(stack.use(temporaryDir()).path)).db
}

/** A process over `db` that has just started: it records and sends, or ends before it could. */
function started(db: RegistryDb, url: string | null, now = NOW) {
  const incidents = new Incidents(db)
  const sent: Alert[] = []
  const warnings: string[] = []
  const messages = new WaitingMessages(db)
  const warn = (text: string) => void warnings.push(text)
  const outbox = new Outbox({ messages, url: url ?? '', now: () => new Date(now), warn })
  const webhook = url === null ? null : { outbox, send: (alert: Alert) => void sent.push(alert) }
  const base = 'http://127.0.0.1:6769/'
  stack.use(new Alerts({ incidents, base, say: () => undefined, webhook })).resume()
  return { incidents, outbox, sent, warnings }
}

test('what nobody took is told by the next process, and what was taken is not', () => {
  const db = opened()
  const first = started(db, URL_A)
  const ids = ['1.0.0', '1.1.0'].map(version => first.incidents.record(found(version), NOW).id)
  first.incidents.record(found('1.0.0'), NOW)
  first.incidents.record(found('1.2.0', 'unsigned'), NOW)
  first.outbox.ended(ids[0] ?? '')
  const second = started(db, URL_A)
  expect(second.sent.map(({ id }) => id)).toEqual(ids.slice(1))
  second.outbox.ended(ids[1] ?? '')
  expect(started(db, URL_A).sent).toEqual([])
})

test('an incident that was taken back leaves no message', () => {
  const db = opened()
  const { incidents } = started(db, URL_A)
  const failing = () =>
    db.transaction(() => {
      incidents.record(found('1.0.0'), NOW)
      throw new Error('rolled back')
    })
  expect(failing).toThrow('rolled back')
  expect(started(db, URL_A).sent).toEqual([])
})

test('a webhook that is new is told nothing of before, and another one nothing of this one', () => {
  const db = opened()
  started(db, null).incidents.record(found('1.0.0'), NOW)
  const { incidents, sent } = started(db, URL_A)
  expect(sent).toEqual([])
  incidents.record(found('1.1.0'), NOW)
  expect(started(db, URL_B).sent).toEqual([])
  expect(started(db, URL_A).sent.map(({ version }) => version)).toEqual(['1.1.0'])
  const kept = JSON.stringify(db.database.query('SELECT * FROM waiting_message').values())
  expect(kept).not.toContain('example')
})

test('what is days old is let go, and so is what is too much', () => {
  const db = opened()
  const { incidents } = started(db, URL_A)
  db.transaction(() => {
    for (let i = 0; i < 1100; i += 1) incidents.record(found(`1.0.${i}`), NOW)
  })
  expect(started(db, URL_A).sent).toHaveLength(1000)
  const later = (days: number) => new Date(Date.parse(NOW) + days * DAY_MS).toISOString()
  expect(started(db, URL_A, later(3)).sent).toHaveLength(1000)
  expect(started(db, URL_A, later(5)).sent).toEqual([])
  expect(started(db, URL_A).sent).toEqual([])
})

test('a fault when it is taken keeps nobody from anything', () => {
  const db = opened()
  const { incidents, outbox, warnings } = started(db, URL_A)
  const { id } = incidents.record(found('1.0.0'), NOW)
  db.database.run('ALTER TABLE waiting_message RENAME TO gone')
  outbox.ended(id)
  expect(warnings.join()).toContain(`alert ${id} is sent again after a restart`)
})

test('a server that is stopped while the receiver is down tells it after the restart, once', async () => {
  const heard: string[] = []
  const receive = (port: number) =>
    Bun.serve({
      hostname: '127.0.0.1',
      port,
      fetch(request) {
        heard.push(request.headers.get('webhook-id') ?? '')
        return new Response(null, { status: 204 })
      },
    })
  const settling = receive(0)
  const { port = 0 } = settling
  await settling.stop(true)
  const packages = [{ name: 'victim', versions: [{ version: '1.0.0' }] }]
  const npm = stack.use(startFixtureRegistry({ packages }))
  const webhook = { url: `http://127.0.0.1:${port}/hook`, secret: 'sixteen characters' }
  const instance = stack.use(await Instance.start(npm.url, '', [], { webhook }))
  await instance.packument('victim')
  npm.act({ do: 'swap', name: 'victim', version: '1.0.0' })
  await Bun.sleep(NEXT_CHECK_MS)
  const { versions } = await instance.packument('victim', FRESH)
  expect(versions['1.0.0']?.dist.tarball).toContain('/-/blocked/')
  await instance.stop()
  const receiver = receive(port)
  stack.defer(() => receiver.stop(true))
  expect(heard).toEqual([])
  await instance.restart()
  await until(() => heard.length > 0)
  await Bun.sleep(100)
  expect(heard).toHaveLength(1)
  expect(await (await instance.get(`-/why/${heard[0]}`)).text()).toContain('victim@1.0.0')
  await instance.restart()
  await Bun.sleep(100)
  expect(heard).toHaveLength(1)
})
