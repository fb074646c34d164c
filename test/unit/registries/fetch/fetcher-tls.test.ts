import { describe, expect, spyOn, test } from 'bun:test'
import { Credential } from '../../../../src/registries/fetch/credential.ts'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { pinTarget } from '../../../../src/registries/fetch/hops.ts'
import { serveRaw } from '../raw-server.ts'
import {
  ELSEWHERE_CERTIFICATE,
  EXPIRED_CERTIFICATE,
  TEST_CERTIFICATE,
  TEST_KEY,
} from '../test-certificates.ts'
import type { FetchedAnswer, FetchRequest } from '../../../../src/registries/fetch/fetcher.ts'

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

function serveTls(cert: string, answer: () => Response): Bun.Server<undefined> {
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    tls: { cert, key: TEST_KEY },
    fetch: answer,
  })
}

describe('tls (U7)', () => {
  test('a redirect from https to http is refused', async () => {
    using plain = serveRaw(() => ({}))
    const server = serveTls(TEST_CERTIFICATE, () => Response.redirect(`${plain.origin}/x`))
    const origin = `https://127.0.0.1:${server.port}`
    const site = { origin, ca: TEST_CERTIFICATE, otherOrigins: [plain.origin] }
    const error = await errorOf(newFetcher().get(ask(origin, { site })))
    expect(error.message).toContain('gives up https')
    expect(plain.connections).toBe(0)
    await server.stop(true)
  })

  const getTls = (port: number | undefined, ca?: string): Promise<FetchedAnswer> => {
    const origin = `https://127.0.0.1:${port}`
    return newFetcher().get(ask(origin, { site: { origin, ...(ca !== undefined && { ca }) } }))
  }
  const cases: [string, string, string | undefined][] = [
    ['a certificate that nobody vouches for', TEST_CERTIFICATE, undefined],
    ['one for another host', ELSEWHERE_CERTIFICATE, ELSEWHERE_CERTIFICATE],
    ['one that has expired', EXPIRED_CERTIFICATE, EXPIRED_CERTIFICATE],
    ['one of another authority', TEST_CERTIFICATE, ELSEWHERE_CERTIFICATE],
  ]
  test.each(cases)('%s is refused', async (_, cert, ca) => {
    let asked = 0
    const server = serveTls(cert, () => new Response(`${(asked += 1)}`))
    const error = await errorOf(getTls(server.port, ca))
    expect(error).toMatchObject({ code: 'upstream-unreachable', phase: 'tls' })
    expect(asked).toBe(0)
    await server.stop(true)
  })

  test('one that the authority of the upstream vouches for is accepted', async () => {
    const server = serveTls(TEST_CERTIFICATE, () => new Response('{}'))
    expect((await getTls(server.port, TEST_CERTIFICATE)).status).toBe(200)
    await server.stop(true)
  })

  test('a server without tls is not asked in the clear', async () => {
    using server = serveRaw(() => ({ send: ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'] }))
    expect((await errorOf(getTls(Number(new URL(server.origin).port)))).code).toBe(
      'upstream-unreachable',
    )
    expect(server.requests.join('')).not.toContain('GET')
  })

  test('a handshake that is cut is an outage', async () => {
    using server = serveRaw(() => ({ ending: 'reset' }))
    expect((await errorOf(getTls(Number(new URL(server.origin).port)))).code).toBe(
      'upstream-unreachable',
    )
  })
})

describe('a public host is asked at the address that was checked (U8)', () => {
  test('with its name in the Host header and the handshake, and no secret', async () => {
    const asked: [string, BunFetchRequestInit | undefined][] = []
    const originOf = (url: string): string => new URL(url).origin
    const answer = (url: unknown, init?: BunFetchRequestInit): Promise<Response> => {
      asked.push([String(url), init])
      if (originOf(String(url)) !== 'https://registry.example') {
        return Promise.resolve(new Response('{}', { headers: { 'content-length': '2' } }))
      }
      const location = 'https://cdn.example./f.tgz?sig=1'
      return Promise.resolve(new Response(null, { status: 302, headers: { location } }))
    }
    using fetched = spyOn(globalThis, 'fetch')
    fetched.mockImplementation(Object.assign(answer, { preconnect: () => undefined }))
    let lookups = 0
    const fetcher = newFetcher(() => {
      lookups += 1
      // Public when it is checked, this machine when it is asked again.
      return Promise.resolve([lookups === 1 ? PUBLIC_ADDRESS : '127.0.0.1'])
    })
    const site = { origin: 'https://registry.example', credential: new Credential(CANARY) }
    const request = ask(site.origin, { site, publicRedirects: true, headers: { 'x-a': '1' } })
    expect((await fetcher.get(request)).status).toBe(200)
    expect(asked.map(([url]) => url)).toEqual([
      'https://registry.example/lodash',
      `https://${PUBLIC_ADDRESS}/f.tgz?sig=1`,
    ])
    const sent = new Headers(asked[1]?.[1]?.headers)
    expect(sent.get('host')).toBe('cdn.example.')
    expect([sent.get('authorization'), sent.get('x-a')]).toEqual([null, null])
    expect(asked[1]?.[1]?.tls).toEqual({ serverName: 'cdn.example' })
    expect(lookups).toBe(1)
    expect((await errorOf(fetcher.get(request))).code).toBe('upstream-bad-answer')
  })
})

describe('pinTarget()', () => {
  const getPinned = async (name: string, port: number | undefined): Promise<string> => {
    const target = pinTarget(new URL(`https://${name}:${port}/x?y`), '127.0.0.1')
    const response = await fetch(target.url, {
      headers: { host: target.host ?? '' },
      tls: { ca: TEST_CERTIFICATE, ...(target.serverName && { serverName: target.serverName }) },
    })
    return response.text()
  }

  test('makes a connection that is only good for the name', async () => {
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      tls: { cert: TEST_CERTIFICATE, key: TEST_KEY },
      fetch: request => new Response(`${request.headers.get('host')} ${request.url}`),
    })
    const { port } = server
    expect(await getPinned('tarballs.example', port)).toBe(
      `tarballs.example:${port} https://tarballs.example:${port}/x?y`,
    )
    // The open connection to this address was proven for another name: it must not be used.
    await expect(getPinned('elsewhere.example', port)).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    })
    await server.stop(true)
  })

  test('writes IPv6 as URLs have it, and names no address in the handshake', () => {
    expect(pinTarget(new URL('https://cdn.example/x'), '2606:4700::1')).toEqual({
      url: 'https://[2606:4700::1]/x',
      host: 'cdn.example',
      serverName: 'cdn.example',
    })
    expect(pinTarget(new URL('https://8.8.8.8/x'), '8.8.8.8').serverName).toBeUndefined()
    expect(pinTarget(new URL('https://[2606::1]/x'), '2606::1').serverName).toBeUndefined()
  })
})
