import { describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { UnreachableError } from '../../../../src/registries/fetch/unreachable.ts'
import { chunk, head, serveRaw } from '../raw-server.ts'
import type { FetchLimits } from '../../../../src/registries/fetch/fetch-limits.ts'
import type { FetchedAnswer, FetchRequest } from '../../../../src/registries/fetch/fetcher.ts'
import type { RawServer, Reply } from '../raw-server.ts'

const MIB = 1024 * 1024
const OK = '200 OK'
const END = new Uint8Array(Buffer.from('0\r\n\r\n'))

function newFetcher(limits: Partial<FetchLimits> = {}, now?: () => number): Fetcher {
  return new Fetcher({
    userAgent: 'npmx-registry/test',
    limits: { retryDelayMs: 2, ...limits },
    ...(now !== undefined && { now }),
  })
}

function ask(origin: string, more: Partial<FetchRequest> = {}): FetchRequest {
  return { site: { origin }, url: `${origin}/lodash`, bytesMax: MIB, ...more }
}

/** The error that a request ends in; fails when it ends in an answer. */
async function errorOf(answer: Promise<unknown>): Promise<RegistryError> {
  const error = await answer.then(
    value => value,
    (reason: unknown) => reason,
  )
  if (error instanceof RegistryError) return error
  throw new Error(`no RegistryError but ${String(error)}`)
}

function textOf({ bytes }: FetchedAnswer): string {
  return new TextDecoder().decode(bytes)
}

describe('get()', () => {
  test('sends what it should and nothing more', async () => {
    using server = serveRaw(() => ({ send: [head(OK, 'content-length: 2'), '{}'] }))
    const answer = await newFetcher().get(ask(server.origin, { headers: { accept: 'a/b' } }))
    expect(answer.status).toBe(200)
    expect(textOf(answer)).toBe('{}')
    const lines = server.requests[0]?.trim().split('\r\n') ?? []
    expect(lines[0]).toBe('GET /lodash HTTP/1.1')
    expect(
      lines
        .slice(1)
        .map(line => line.toLowerCase())
        .toSorted(),
    ).toEqual([
      'accept-encoding: gzip',
      'accept: a/b',
      'connection: keep-alive',
      `host: ${new URL(server.origin).host}`,
      'user-agent: npmx-registry/test',
    ])
  })

  test('keeps one connection for requests in a row, 404s among them', async () => {
    using server = serveRaw((_, n) => ({
      send: [head(n % 2 === 0 ? OK : '404 Not Found', 'content-length: 2'), '{}'],
      ending: 'open',
    }))
    const fetcher = newFetcher()
    for (let i = 0; i < 6; i += 1) await fetcher.get(ask(server.origin))
    expect(server.requests).toHaveLength(6)
    expect(server.connections).toBe(1)
  })

  test('hands on every status that is no reason to try again', async () => {
    const statuses = [200, 201, 204, 304, 400, 401, 403, 404, 405, 410, 422, 451, 500, 501]
    using server = serveRaw((_, n) => {
      const status = statuses[n] ?? 0
      const bodiless = status === 204 || status === 304
      return {
        send: [
          head(`${status} X`, ...(bodiless ? [] : ['content-length: 2'])),
          bodiless ? '' : '{}',
        ],
      }
    })
    const fetcher = newFetcher()
    for (const status of statuses) {
      expect((await fetcher.get(ask(server.origin))).status).toBe(status)
    }
    expect(server.requests).toHaveLength(statuses.length)
  })

  test('gives a buffer that grew in place and is just as long as the body', async () => {
    const body = Buffer.alloc(40 * MIB, 'npmx')
    using server = serveRaw(() => ({
      send: [head(OK, 'content-encoding: gzip'), gzipSync(body, { level: 1 })],
    }))
    const { bytes } = await newFetcher().get(ask(server.origin, { bytesMax: 64 * MIB }))
    expect(bytes.byteLength).toBe(body.length)
    expect(Bun.hash(bytes)).toBe(Bun.hash(body))
  })
})

describe('get() never takes a cut body for an answer (U3)', () => {
  const body = Buffer.from(JSON.stringify({ name: 'lodash', noise: crypto.randomUUID() }))
  const packed = gzipSync(body)
  const forms: [string, string[], Uint8Array][] = [
    ['content-length', [`content-length: ${body.length}`], body],
    [
      'gzip with content-length',
      ['content-encoding: gzip', `content-length: ${packed.length}`],
      packed,
    ],
    ['chunked', ['transfer-encoding: chunked'], Buffer.concat([chunk(body), END])],
    [
      'chunked gzip',
      ['content-encoding: gzip', 'transfer-encoding: chunked'],
      Buffer.concat([chunk(packed), END]),
    ],
    ['gzip to the end of the connection', ['content-encoding: gzip', 'connection: close'], packed],
  ]
  test.each(forms)('%s, at many points', async (form, headers, wire) => {
    let cut = wire.length
    using server = serveRaw(() => ({
      send: [head(OK, ...headers), wire.subarray(0, cut)],
      ending: cut % 3 === 0 ? 'reset' : 'end',
    }))
    const fetcher = newFetcher({ retriesMax: 0 })
    // The last four bytes of a chunked body carry nothing: all of it has come before.
    const last = form.startsWith('chunked') ? wire.length - 5 : wire.length - 1
    // The runtime writes a line to stderr for each of the last kind: a few will do.
    const points = headers.includes('connection: close') ? 4 : 33
    for (let i = 0; i < points; i += 1) {
      cut = Math.floor((last * i) / (points - 1))
      const { code } = await errorOf(
        fetcher.get(ask(server.origin, { url: `${server.origin}/${i}` })),
      )
      expect(['upstream-unreachable', 'upstream-bad-answer']).toContain(code)
      cut = wire.length
      // A whole answer in between keeps the breaker closed and shows that the form is right.
      if (i % 2 === 0) expect(textOf(await fetcher.get(ask(server.origin)))).toBe(body.toString())
    }
  })

  test('a body that ends where the connection does, and says so', async () => {
    using server = serveRaw(() => ({ send: [head(OK, 'connection: close'), body] }))
    const error = await errorOf(newFetcher().get(ask(server.origin)))
    expect(error.code).toBe('upstream-bad-answer')
    expect(error.message).toContain('does not say how long')
  })

  test('and tries again, so that one cut goes unnoticed', async () => {
    using server = serveRaw((_, n) => ({
      send: [
        head(OK, `content-length: ${body.length}`),
        body.subarray(0, n === 0 ? 20 : body.length),
      ],
    }))
    expect(textOf(await newFetcher().get(ask(server.origin)))).toBe(body.toString())
    expect(server.requests).toHaveLength(2)
  })
})

describe('get() stops at its limits', () => {
  test('a gzip bomb, with memory for the limit only (U4)', async () => {
    const bomb = gzipSync(Buffer.alloc(128 * MIB))
    using server = serveRaw(() => ({
      send: [head(OK, 'content-encoding: gzip', `content-length: ${bomb.length}`), bomb],
    }))
    Bun.gc(true)
    const before = process.memoryUsage.rss()
    const error = await errorOf(newFetcher().get(ask(server.origin, { bytesMax: 8 * MIB })))
    expect(error.code).toBe('too-large')
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MIB)
    expect(server.requests).toHaveLength(1)
  })

  test('a body that says that it is too large, before reading it', async () => {
    using server = serveRaw(() => ({
      send: [head(OK, `content-length: ${MIB + 1}`)],
      ending: 'open',
    }))
    const error = await errorOf(newFetcher().get(ask(server.origin)))
    expect(error.code).toBe('too-large')
  })

  test('a body that is one byte too long, and not one that just fits', async () => {
    using server = serveRaw(() => ({
      send: [head(OK, 'transfer-encoding: chunked'), chunk(Buffer.alloc(1000, 120)), END],
    }))
    const fetcher = newFetcher()
    expect((await fetcher.get(ask(server.origin, { bytesMax: 1000 }))).bytes.byteLength).toBe(1000)
    const error = await errorOf(fetcher.get(ask(server.origin, { bytesMax: 999 })))
    expect(error.code).toBe('too-large')
  })

  const encodings = ['br', 'zstd', 'deflate', 'gzip, gzip', 'compress', 'x']
  test.each(encodings)('content-encoding %s, which was not asked for', async encoding => {
    using server = serveRaw(() => ({
      send: [head(OK, `content-encoding: ${encoding}`, 'content-length: 3'), 'abc'],
    }))
    const error = await errorOf(newFetcher().get(ask(server.origin)))
    expect(error.code).toBe('upstream-bad-answer')
  })

  test('plain text that is labelled gzip', async () => {
    using server = serveRaw(() => ({
      send: [head(OK, 'content-encoding: gzip', 'content-length: 2'), '{}'],
    }))
    const error = await errorOf(newFetcher().get(ask(server.origin)))
    expect(error.code).toBe('upstream-bad-answer')
  })

  const slow: [string, Reply][] = [
    ['silence after the connection', { ending: 'open' }],
    ['headers that drip', { send: [head(OK, 'content-length: 2'), '{}'], dripMs: 20 }],
    ['silence after the headers', { send: [head(OK, 'content-length: 9')], ending: 'open' }],
  ]
  test.each(slow)('%s (U2)', async (_, reply) => {
    using server = serveRaw(() => reply)
    const began = performance.now()
    const limits = { headersTimeoutMs: 100, idleTimeoutMs: 100, totalTimeoutMs: 5000 }
    const error = await errorOf(newFetcher(limits).get(ask(server.origin)))
    expect(error.code).toBe('upstream-unreachable')
    expect(error).toMatchObject({ phase: 'timeout' })
    expect(performance.now() - began).toBeLessThan(2000)
    expect(server.requests).toHaveLength(1)
  })

  test('a body that drips, though it is never idle', async () => {
    // It would take 20 s.
    const body = head(OK, 'content-length: 5000') + 'x'.repeat(5000)
    using server = serveRaw(() => ({ send: [body], dripMs: 4 }))
    const began = performance.now()
    const limits = { totalTimeoutMs: 400, idleTimeoutMs: 200, headersTimeoutMs: 390 }
    const error = await errorOf(newFetcher(limits).get(ask(server.origin)))
    expect(error).toMatchObject({ phase: 'timeout' })
    expect(performance.now() - began).toBeLessThan(2000)
  })

  test('but not a body that takes longer and keeps pace', async () => {
    const piece = new Uint8Array(8192).fill(120)
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: () =>
        new Response(
          new ReadableStream({
            async pull(controller) {
              await Bun.sleep(20)
              controller.enqueue(piece)
              sent += 1
              if (sent === 60) controller.close()
            },
          }),
        ),
    })
    let sent = 0
    const limits = { totalTimeoutMs: 900, idleTimeoutMs: 800, headersTimeoutMs: 890 }
    const { bytes } = await newFetcher(limits).get(ask(server.url.origin))
    expect(bytes.byteLength).toBe(60 * 8192)
    sent = 0
    const short = newFetcher({ ...limits, bodyTimeoutMsMax: 100, retriesMax: 0 })
    expect(await errorOf(short.get(ask(server.url.origin)))).toMatchObject({ phase: 'timeout' })
    await server.stop(true)
  })

  test('requests at once and requests in line', async () => {
    let underWay = 0
    let most = 0
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      async fetch() {
        underWay += 1
        most = Math.max(most, underWay)
        await Bun.sleep(20)
        underWay -= 1
        return new Response('{}')
      },
    })
    const fetcher = newFetcher({ requestsMax: 4, queueMax: 10 })
    const request = ask(server.url.origin)
    const answers = await Promise.allSettled(Array.from({ length: 40 }, () => fetcher.get(request)))
    const refused = answers.filter(({ status }) => status === 'rejected')
    expect(most).toBe(4)
    expect(answers.length - refused.length).toBeGreaterThanOrEqual(10)
    expect(refused.length).toBeGreaterThanOrEqual(25)
    for (const refusal of refused) expect(refusal).toMatchObject({ reason: { code: 'busy' } })
    expect((await fetcher.get(request)).status).toBe(200)
    await server.stop(true)
  })

  test('time in line', async () => {
    using server = serveRaw(() => ({ ending: 'open' }))
    const fetcher = newFetcher({ requestsMax: 1, totalTimeoutMs: 150, headersTimeoutMs: 120 })
    const [first, second] = await Promise.all([
      errorOf(fetcher.get(ask(server.origin))),
      errorOf(fetcher.get(ask(server.origin))),
    ])
    expect(first.code).toBe('upstream-unreachable')
    expect(['busy', 'upstream-unreachable']).toContain(second.code)
  })
})

describe('get() tries again (U1)', () => {
  function failing(status: string, times: number, ...headers: string[]): RawServer {
    return serveRaw((_, n) => ({
      send: [head(n < times ? status : OK, 'content-length: 2', ...headers), '{}'],
    }))
  }

  test.each(['429 X', '502 X', '503 X', '504 X'])('after %s, at most twice', async status => {
    using twice = failing(status, 2)
    expect((await newFetcher().get(ask(twice.origin))).status).toBe(200)
    using ever = failing(status, 100)
    expect((await newFetcher().get(ask(ever.origin))).status).toBe(Number(status.slice(0, 3)))
    expect(ever.requests).toHaveLength(3)
  })

  test('after a connection that is cut before the answer', async () => {
    using server = serveRaw((_, n) =>
      n === 0 ? { ending: 'reset' } : { send: [head(OK, 'content-length: 2'), '{}'] },
    )
    expect((await newFetcher().get(ask(server.origin))).status).toBe(200)
  })

  test('not a POST, whatever happens', async () => {
    using server = failing('503 X', 100)
    const body = new Uint8Array(Buffer.from('{"a":["1.0.0"]}'))
    const answer = await newFetcher().get(ask(server.origin, { method: 'POST', body }))
    expect(answer.status).toBe(503)
    expect(server.requests).toHaveLength(1)
    expect(server.requests[0]).toEndWith('\r\n\r\n{"a":["1.0.0"]}')
    using cut = serveRaw(() => ({ ending: 'reset' }))
    await errorOf(newFetcher().get(ask(cut.origin, { method: 'POST', body })))
    expect(cut.requests).toHaveLength(1)
  })

  test('when the server says so, and not when it says: later', async () => {
    using soon = failing('503 X', 1, 'retry-after: 1')
    const began = performance.now()
    expect((await newFetcher().get(ask(soon.origin))).status).toBe(200)
    expect(performance.now() - began).toBeGreaterThanOrEqual(990)
    using later = failing('429 X', 1, 'retry-after: 10')
    const { status, headers } = await newFetcher().get(ask(later.origin))
    expect([status, headers.get('retry-after')]).toEqual([429, '10'])
  })
})

describe('an origin that is down', () => {
  test('is not asked again at once, and asked by one when it is time', async () => {
    let now = 0
    let isUp = false
    using server = serveRaw(() =>
      isUp ? { send: [head(OK, 'content-length: 2'), '{}'] } : { ending: 'reset' },
    )
    const fetcher = newFetcher({ retriesMax: 0 }, () => now)
    const get = (name: string): Promise<FetchedAnswer> =>
      fetcher.get(ask(server.origin, { url: `${server.origin}/${name}` }))
    for (const name of ['a', 'b', 'c', 'd', 'e']) await errorOf(get(name))
    expect(fetcher.stateOf(server.origin)).toBe('open')
    const asked = server.requests.length
    const error = await errorOf(get('f'))
    expect(error).toBeInstanceOf(UnreachableError)
    expect(error).toMatchObject({ phase: 'down', retryAfterSeconds: 2 })
    expect(server.requests).toHaveLength(asked)

    now += 2000
    const probes = await Promise.allSettled(['g', 'h', 'i'].map(get))
    expect(probes.every(({ status }) => status === 'rejected')).toBe(true)
    expect(server.requests).toHaveLength(asked + 1)

    isUp = true
    now += 4000
    expect((await get('j')).status).toBe(200)
    expect(fetcher.stateOf(server.origin)).toBe('closed')
  })

  test('is not one that answers 404, nor one that fails at a single name', async () => {
    using server = serveRaw(request => {
      const status = request.startsWith('GET /broken') ? '500 X' : '404 Not Found'
      return { send: [head(status, 'content-length: 2'), '{}'] }
    })
    const fetcher = newFetcher()
    for (let i = 0; i < 20; i += 1) {
      await fetcher.get(ask(server.origin, { url: `${server.origin}/broken` }))
    }
    for (let i = 0; i < 20; i += 1) await fetcher.get(ask(server.origin))
    expect(fetcher.stateOf(server.origin)).toBe('closed')
  })

  test('is found out with no port listening, within the retries', async () => {
    const server = serveRaw(() => ({}))
    server[Symbol.dispose]()
    const fetcher = newFetcher()
    expect(await errorOf(fetcher.get(ask(server.origin)))).toMatchObject({ phase: 'connect' })
    expect(await errorOf(fetcher.get(ask(server.origin)))).toMatchObject({ phase: 'down' })
  })
})
