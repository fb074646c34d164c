import { describe, expect, spyOn, test } from 'bun:test'
import { inspect } from 'node:util'
import { Credential } from '../../../../src/registries/fetch/credential.ts'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { head, serveRaw } from '../raw-server.ts'
import type { FetchRequest } from '../../../../src/registries/fetch/fetcher.ts'
import type { RawServer } from '../raw-server.ts'

const CANARY = 'Bearer canary-7f3a'
const PUBLIC_ADDRESS = '93.184.216.34'

function newFetcher(lookup?: (host: string) => Promise<string[]>): Fetcher {
  return new Fetcher({
    userAgent: 'npmx-registry/test',
    limits: { retriesMax: 0, totalTimeoutMs: 2000 },
    lookup: lookup ?? (() => Promise.reject(new Error('asked DNS'))),
  })
}

function ask(origin: string, more: Partial<FetchRequest> = {}): FetchRequest {
  return { site: { origin }, url: `${origin}/lodash`, bytesMax: 1024, ...more }
}

async function errorOf(answer: Promise<unknown>): Promise<RegistryError> {
  const error = await answer.catch((reason: unknown) => reason)
  if (error instanceof RegistryError) return error
  throw new Error(`no RegistryError but ${String(error)}`)
}

/** Answers with JSON, whatever is asked. */
function serveJson(): RawServer {
  return serveRaw(() => ({ send: [head('200 OK', 'content-length: 2'), '{}'] }))
}

/** Sends everybody on to `location`. */
function serveRedirect(location: (n: number) => string, status = '302 Found'): RawServer {
  return serveRaw((_, n) => ({
    send: [head(status, `location: ${location(n)}`, 'content-length: 0')],
  }))
}

/**
 * URLs that a server must not be talked into (fault table, H10): special addresses in all their
 * spellings, local names, other schemes, secrets in front of the host, other services.
 */
function forbiddenUrls(port: string): string[] {
  const hosts = `127.0.0.1 127.1 0x7f000001 0x7f.1 2130706433 0177.0.0.1 0 0.0.0.0 [::1] [::]
    [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] 127.0.0.1. localhost localhost. LOCALHOST
    a.localhost ①②⑦.0.0.1 %31%32%37.0.0.1`
  const elsewhere = `169.254.169.254 [fd00:ec2::254] [fe80::1] 10.0.0.1 172.16.0.1 192.168.1.1
    100.64.0.1 100.100.100.200 198.18.0.1 224.0.0.1 255.255.255.255 168.63.129.16 [ff02::1]
    [64:ff9b::7f00:1] [2002:7f00:1::] metadata.google.internal printer.local intranet
    rebind.example mixed.example`
  const others = `https://cdn.example:22/ https://cdn.example:6379/ http://cdn.example/
    https://user@cdn.example/ https://user:secret@cdn.example/ https://:x@127.0.0.1:${port}/
    file:///etc/passwd data:application/json,{} s3://bucket/key unix:///run/docker.sock
    blob:https://cdn.example/x ftp://cdn.example/ javascript:0 gopher://cdn.example/
    https:// https://[::1 https://cdn.example/${'x'.repeat(9000)}`
  return [
    ...words(hosts).flatMap(host => [`https://${host}:${port}/`, `http://${host}:${port}/`]),
    ...words(elsewhere).map(host => `https://${host}/latest/meta-data/`),
    ...words(others),
    'https://a b/',
  ]
}

function words(text: string): string[] {
  return text.split(/\s+/)
}

/** One name is public; the others are not, or not altogether. */
function findSome(host: string): Promise<string[]> {
  if (host === 'cdn.example') return Promise.resolve([PUBLIC_ADDRESS])
  return Promise.resolve(host === 'mixed.example' ? [PUBLIC_ADDRESS, '10.0.0.1'] : ['127.0.0.1'])
}

describe('forbidden URLs are refused before a connection (H10)', () => {
  test('as the first URL', async () => {
    using trap = serveJson()
    using own = serveJson()
    using fetched = spyOn(globalThis, 'fetch')
    const urls = forbiddenUrls(new URL(trap.origin).port)
    expect(urls.length).toBeGreaterThanOrEqual(60)
    const fetcher = newFetcher(findSome)
    for (const url of urls) {
      const error = await errorOf(fetcher.get(ask(own.origin, { url, publicRedirects: true })))
      expect(error.code).toBe('bad-request')
    }
    expect(fetched).toHaveBeenCalledTimes(0)
    expect([trap.connections, own.connections]).toEqual([0, 0])
  })

  test('as the target of a redirect', async () => {
    using trap = serveJson()
    const urls = forbiddenUrls(new URL(trap.origin).port)
    // A header cannot carry these two; they are cut or joined before anybody reads them.
    const sendable = urls.filter(url => !/[^\x21-\x7e]/.test(url))
    using own = serveRedirect(n => sendable[n] ?? '')
    using fetched = spyOn(globalThis, 'fetch')
    const fetcher = newFetcher(findSome)
    for (const url of sendable) {
      const error = await errorOf(fetcher.get(ask(own.origin, { publicRedirects: true })))
      expect(`${url} ${error.code}`).toBe(`${url} upstream-bad-answer`)
      expect(error.message).not.toContain('secret')
    }
    expect(sendable.length).toBeGreaterThanOrEqual(60)
    expect(fetched).toHaveBeenCalledTimes(sendable.length)
    expect(trap.connections).toBe(0)
  })
})

describe('redirects (U6)', () => {
  test('are followed on the same origin, relative and absolute, five times', async () => {
    const targets = ['/1', '2', '../3', '?4', 'http://HOST/5']
    using server = serveRaw((_, n) => {
      const location = targets[n]?.replace('HOST', new URL(server.origin).host)
      if (location === undefined) return { send: [head('200 OK', 'content-length: 2'), '{}'] }
      return { send: [head('301 Moved', `location: ${location}`, 'content-length: 0')] }
    })
    expect((await newFetcher().get(ask(server.origin))).status).toBe(200)
    expect(server.requests.map(request => request.split(' ')[1])).toEqual([
      '/lodash',
      '/1',
      '/2',
      '/3',
      '/3?4',
      '/5',
    ])
  })

  test('stop at the sixth, and in a loop', async () => {
    using server = serveRedirect(() => '/lodash')
    const error = await errorOf(newFetcher().get(ask(server.origin)))
    expect(error.code).toBe('upstream-bad-answer')
    expect(server.requests).toHaveLength(6)
  })

  test.each([301, 302, 303, 307, 308])('%i goes on as a GET', async status => {
    using end = serveJson()
    using server = serveRedirect(() => `${end.origin}/x`, `${status} X`)
    const site = { origin: server.origin, otherOrigins: [end.origin] }
    expect((await newFetcher().get(ask(server.origin, { site }))).status).toBe(200)
    expect(end.requests[0]).toStartWith('GET /x HTTP/1.1\r\n')
  })

  test.each([300, 304, 305, 306, 399])('%i is no redirect', async status => {
    using server = serveRedirect(() => '/x', `${status} X`)
    expect((await newFetcher().get(ask(server.origin))).status).toBe(status)
    expect(server.requests).toHaveLength(1)
  })

  test('are refused for a POST', async () => {
    using server = serveRedirect(() => '/x', '307 X')
    const error = await errorOf(newFetcher().get(ask(server.origin, { method: 'POST' })))
    expect(error.message).toContain('redirects a POST')
  })

  test('leave the listed origins only where that is allowed', async () => {
    using server = serveRedirect(() => 'https://cdn.example/x')
    const error = await errorOf(newFetcher().get(ask(server.origin)))
    expect(error.message).toContain('cdn.example, which is not listed')
  })

  test('to a name that cannot be resolved are an outage, not an answer', async () => {
    using server = serveRedirect(() => 'https://cdn.example/x')
    const missing = Object.assign(new Error('queryA'), { code: 'ENOTFOUND' })
    const fetcher = newFetcher(() => Promise.reject(missing))
    const error = await errorOf(fetcher.get(ask(server.origin, { publicRedirects: true })))
    expect(error).toMatchObject({ code: 'upstream-unreachable', phase: 'connect' })
  })
})

describe('secrets stay with their origin (I8)', () => {
  const headers = { 'accept': 'application/json', 'if-none-match': '"x"', 'x-custom': 'canary' }

  test('credential and headers are dropped once the origin changes, for good', async () => {
    using second: RawServer = serveRedirect(() => `${first.origin}/back`)
    using first: RawServer = serveRaw((_, n) => ({
      send:
        n === 0
          ? [head('302 X', `location: ${second.origin}/x`, 'content-length: 0')]
          : [head('200 OK', 'content-length: 2'), '{}'],
    }))
    const credential = new Credential(CANARY)
    const site = { origin: first.origin, otherOrigins: [second.origin], credential }
    await newFetcher().get(ask(first.origin, { site, headers }))
    expect(first.requests[0]).toContain(`${CANARY}\r\n`)
    expect(first.requests[0]?.toLowerCase()).toContain('x-custom: canary')
    for (const request of [second.requests[0] ?? 'none', first.requests[1] ?? 'none']) {
      expect(request).toContain('HTTP/1.1')
      expect(request.toLowerCase()).not.toMatch(
        /canary|authorization|if-none-match|x-custom|referer/,
      )
      expect(request.toLowerCase()).toContain('accept: application/json')
    }
  })

  test('credential and headers go along on the same origin', async () => {
    using server = serveRaw((_, n) => ({
      send:
        n === 0
          ? [head('302 X', 'location: /x', 'content-length: 0')]
          : [head('200 OK', 'content-length: 2'), '{}'],
    }))
    const site = { origin: server.origin, credential: new Credential(CANARY) }
    await newFetcher().get(ask(server.origin, { site, headers }))
    expect(server.requests[1]).toContain(`${CANARY}\r\n`)
  })

  test('another listed origin is asked without the credential', async () => {
    using other = serveJson()
    const site = {
      origin: 'https://registry.example',
      otherOrigins: [other.origin],
      credential: new Credential(CANARY),
    }
    await newFetcher().get(ask(other.origin, { site }))
    expect(other.requests[0]).not.toContain('canary')
  })

  test.each(['authorization', 'Cookie', 'host', 'accept-encoding'])(
    '%s is set by nobody else',
    async name => {
      using server = serveJson()
      const request = ask(server.origin, { headers: { [name]: 'x' } })
      await expect(newFetcher().get(request)).rejects.toThrow('set by the fetcher alone')
    },
  )

  test('a credential shows itself to nobody', () => {
    const credential = new Credential(CANARY)
    const shown = [inspect({ credential }), JSON.stringify({ credential }), String(credential)]
    shown.push(Bun.inspect({ credential }), JSON.stringify(Object.entries(credential)))
    expect(shown.join('\n')).not.toContain('canary')
    expect(credential.header()).toBe(CANARY)
  })

  test.each(['', 'a\r\nx: y', 'é', ' a', 'a ', 'x'.repeat(8193)])('%j is no credential', text => {
    expect(() => new Credential(text)).toThrow('one line of visible ASCII')
  })

  test('an error does not repeat the query of a URL, which often is a signature', async () => {
    const server = serveRaw(() => ({}))
    server[Symbol.dispose]()
    const url = `${server.origin}/x?signature=canary`
    const error = await errorOf(newFetcher().get(ask(server.origin, { url })))
    expect(inspect(error)).not.toContain('canary')
  })
})
