/**
 * Alerts and their webhook. Goal: each new incident is told once, signed as Standard Webhooks has
 * it, with nothing secret in it, and a receiver that is down holds nothing up.
 */
import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Incidents } from '../../../../src/db/incidents.ts'
import { type Alert, Alerts } from '../../../../src/registries/metrics/alerts.ts'
import { signatureOf, Webhook } from '../../../../src/registries/metrics/alerts-webhook.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { openLog, temporaryDir } from '../../db/data-dir.ts'
import { until } from '../../../fixtures/patience.ts'

const NOW = '2026-11-22T08:31:07Z'
const SECRET = `whsec_${Buffer.from('a secret of 24 bytes ...').toString('base64')}`
const FOUND = {
  code: 'conflict',
  namespace: 'npm',
  name: 'victim',
  version: '1.1.0',
  claim: 'x',
  sentence: 'victim@1.1.0: two sources disagree',
  evidence: '{"sources":["https://user.example/secret"]}',
}

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

function openIncidents() {
  const dir = stack.use(temporaryDir())
  const { db } = stack.use(openLog(dir.path))
  return { db, incidents: new Incidents(db) }
}

const turn = () => new Promise(resolve => setImmediate(resolve))

type Heard = { headers: Headers; body: string }

/** A receiver that answers `statuses` one after another, then 204. */
function receiver(statuses: number[] = []) {
  const heard: Heard[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      heard.push({ headers: request.headers, body: await request.text() })
      const status = statuses.shift() ?? 204
      const headers: Record<string, string> = status === 307 ? { location: '/elsewhere' } : {}
      return new Response(null, { status, headers })
    },
  })
  stack.defer(() => server.stop(true))
  return { heard, url: `http://127.0.0.1:${server.port}/hook?team=a` }
}

function webhookTo(url: string, retriesMs: readonly number[] = [5, 5]) {
  const warnings: string[] = []
  const fetcher = new Fetcher({ userAgent: 'test' })
  const warn = (message: string) => void warnings.push(message)
  const over: string[] = []
  const ended = (id: string) => void over.push(id)
  const parts = { url, secret: SECRET, fetcher, now: () => new Date(NOW), warn, ended, retriesMs }
  return { webhook: stack.use(new Webhook(parts)), warnings, over }
}

const ALERT: Alert = {
  id: '0123456789abcdef',
  code: 'conflict',
  namespace: 'npm',
  package: 'victim',
  version: '1.1.0',
  sentence: 'victim@1.1.0: two sources disagree',
  created: NOW,
  url: 'http://127.0.0.1:6769/-/why/0123456789abcdef',
}

describe('Alerts', () => {
  function listening() {
    const { db, incidents } = openIncidents()
    const said: Alert[] = []
    const sent: Alert[] = []
    const base = 'http://127.0.0.1:6769/'
    const say = (alert: Alert) => void said.push(alert)
    const outbox = { put() {}, ended() {}, left: () => [] }
    const webhook = { send: (alert: Alert) => void sent.push(alert), outbox }
    const alerts = stack.use(new Alerts({ incidents, base, say, webhook }))
    return { db, incidents, said, sent, alerts }
  }

  test('a new incident is told once, without its evidence', async () => {
    const { incidents, said, sent, alerts } = listening()
    const { id } = incidents.record(FOUND, NOW)
    incidents.record(FOUND, NOW)
    await turn()
    expect(said).toHaveLength(1)
    expect(sent).toEqual(said)
    expect(said[0]).toMatchObject({
      id,
      package: 'victim',
      url: `http://127.0.0.1:6769/-/why/${id}`,
    })
    expect(JSON.stringify(said)).not.toContain('secret')
    expect([...alerts.counts]).toEqual([['conflict', 1]])
  })

  test('one that was taken back with its transaction never was', async () => {
    const { db, incidents, said, alerts } = listening()
    const failing = () =>
      db.transaction(() => {
        incidents.record(FOUND, NOW)
        throw new Error('rolled back')
      })
    expect(failing).toThrow('rolled back')
    await turn()
    expect(said).toEqual([])
    expect(alerts.counts.size).toBe(0)
  })

  test('what a registry merely does badly is counted, and no alert', async () => {
    const { incidents, said, alerts } = listening()
    incidents.record({ ...FOUND, code: 'unsigned' }, NOW)
    await turn()
    expect(said).toEqual([])
    expect(alerts.counts.get('unsigned')).toBe(1)
  })
})

describe('Webhook', () => {
  test('signs what it sends, so that the receiver can check it', async () => {
    const { heard, url } = receiver()
    const { webhook } = webhookTo(url)
    webhook.send(ALERT)
    await until(() => webhook.counts.delivered === 1)
    const [message] = heard
    const id = message?.headers.get('webhook-id')
    const seconds = message?.headers.get('webhook-timestamp')
    expect(id).toBe(ALERT.id)
    const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64')
    const signed = `${id}.${seconds}.${message?.body ?? ''}`
    const expected = `v1,${createHmac('sha256', key).update(signed).digest('base64')}`
    expect(message?.headers.get('webhook-signature')).toBe(expected)
    expect(JSON.parse(message?.body ?? '')).toEqual({
      type: 'incident.conflict',
      timestamp: new Date(NOW).toISOString(),
      data: ALERT,
    })
    expect(message?.body).not.toContain('whsec')
  })

  /** The example of the specification, standardwebhooks 1.0, "Signature scheme". */
  test('the vector of the specification', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    const body = '{"test": 2432232314}'
    const signature = signatureOf(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek', '1614265330', body)
    expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
  })

  test('is tried again with the same id, so many times', async () => {
    const { heard, url } = receiver([500, 404])
    const { webhook, warnings } = webhookTo(url)
    webhook.send(ALERT)
    await until(() => webhook.counts.delivered === 1)
    expect(heard.map(({ headers }) => headers.get('webhook-id'))).toEqual(Array(3).fill(ALERT.id))
    expect(warnings).toHaveLength(2)
    expect(warnings.join('\n')).not.toContain('team=a')
  })

  test.each([307, 500])('gives up after the last try; %d is no success', async status => {
    const { heard, url } = receiver([status, status, status])
    const { webhook, over } = webhookTo(url)
    webhook.send(ALERT)
    await until(() => webhook.counts.failed === 1)
    expect(over).toEqual([ALERT.id])
    expect(heard).toHaveLength(3)
    expect(webhook.counts.delivered).toBe(0)
  })

  test('a receiver that is down holds nothing up', () => {
    const { webhook, over } = webhookTo('http://127.0.0.1:9/', [60_000])
    const started = performance.now()
    for (let i = 0; i < 2000; i += 1) webhook.send(ALERT)
    expect(performance.now() - started).toBeLessThan(500)
    expect(webhook.counts.dropped).toBe(1000)
    expect(over).toHaveLength(1000)
  })
})
