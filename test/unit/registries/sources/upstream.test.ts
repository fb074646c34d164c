import { describe, expect, test } from 'bun:test'
import { Credential } from '../../../../src/registries/fetch/credential.ts'
import { defaultRegistryUrl } from '../../../../src/registries/default-registry.ts'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { PASS_BODY_BYTES_MAX, Upstream } from '../../../../src/registries/sources/upstream.ts'
import { head, serveRaw } from '../raw-server.ts'
import type { ErrorCode } from '../../../../src/registries/errors.ts'
import type { UpstreamOptions } from '../../../../src/registries/sources/upstream.ts'
import type { RawServer } from '../raw-server.ts'

const NONE = { etag: null, lastModified: null }
const JSON_HEADER = 'content-type: application/json'
const PACKUMENT = '{"name":"lodash","versions":{}}'

function upstreamAt(url: string, more: Partial<UpstreamOptions> = {}): Upstream {
  const fetcher = new Fetcher({
    userAgent: 'npmx-registry/test',
    limits: { retryDelayMs: 1, headersTimeoutMs: 1000 },
    lookup: () => Promise.reject(new Error('asked DNS')),
  })
  return new Upstream({ name: 'corp', namespace: 'registry.example', url, ...more }, fetcher)
}

function serve(status: string, body: string | Uint8Array, ...headers: string[]): RawServer {
  return serveRaw(() => ({
    send: [head(status, `content-length: ${Buffer.byteLength(body)}`, ...headers), body],
  }))
}

async function errorOf(answer: Promise<unknown>): Promise<RegistryError> {
  const error = await answer.catch((reason: unknown) => reason)
  if (error instanceof RegistryError) return error
  throw new Error(`no RegistryError but ${String(error)}`)
}

/** The method, path and headers of a request, headers in small letters. */
function readRequest(text: string | undefined): [string, string[]] {
  const [first = '', ...headers] = (text ?? '').split('\r\n\r\n')[0]?.split('\r\n') ?? []
  return [first.replace(' HTTP/1.1', ''), headers.map(line => line.toLowerCase())]
}

test('defaultRegistryUrl() is an https URL that ends in a slash', () => {
  const url = new URL(defaultRegistryUrl())
  expect([url.protocol, url.pathname, url.search]).toEqual(['https:', '/', ''])
})

describe('fetchPackument()', () => {
  test('asks for the full document, gzip, below the base path', async () => {
    using server = serve('200 OK', PACKUMENT, JSON_HEADER)
    for (const base of ['', '/', '/npm', '/npm/', '/a/b%20c']) {
      await upstreamAt(server.origin + base).fetchPackument('@babel/core', NONE)
    }
    const paths = server.requests.map(request => readRequest(request)[0])
    expect(paths).toEqual([
      'GET /@babel%2fcore',
      'GET /@babel%2fcore',
      'GET /npm/@babel%2fcore',
      'GET /npm/@babel%2fcore',
      'GET /a/b%20c/@babel%2fcore',
    ])
    const headers = readRequest(server.requests[0])[1]
    expect(headers).toContain('accept: application/json')
    expect(headers).toContain('accept-encoding: gzip')
    expect(headers.join('\n')).not.toContain('if-')
  })

  test('gives the bytes, the validators and the freshness of a new answer', async () => {
    const date = 'Sun, 22 Nov 2026 10:00:00 GMT'
    const headers = [
      'etag: W/"1"',
      `last-modified: ${date}`,
      'cache-control: max-age=300',
      'age: 20',
    ]
    using server = serve('200 OK', PACKUMENT, JSON_HEADER, ...headers)
    const answer = await upstreamAt(server.origin).fetchPackument('lodash', NONE)
    expect(answer).toMatchObject({
      status: 'fresh',
      etag: 'W/"1"',
      lastModified: date,
      maxAgeSeconds: 280,
    })
    if (answer.status !== 'fresh') throw new Error('unreachable')
    expect(new TextDecoder().decode(answer.bytes)).toBe(PACKUMENT)
  })

  test('asks on condition and keeps what a 304 leaves out', async () => {
    using server = serveRaw(() => ({ send: [head('304 Not Modified')] }))
    const before = { etag: '"1"', lastModified: 'Sun, 22 Nov 2026 10:00:00 GMT' }
    const answer = await upstreamAt(server.origin).fetchPackument('lodash', before)
    expect(answer).toEqual({ status: 'unchanged', ...before, maxAgeSeconds: null })
    const headers = readRequest(server.requests[0])[1]
    expect(headers).toContain('if-none-match: "1"')
    expect(headers).toContain('if-modified-since: sun, 22 nov 2026 10:00:00 gmt')
  })

  test('takes no 304 for an answer when it did not ask on condition', async () => {
    using server = serveRaw(() => ({ send: [head('304 Not Modified')] }))
    const error = await errorOf(upstreamAt(server.origin).fetchPackument('lodash', NONE))
    expect(error.code).toBe('upstream-bad-answer')
  })

  test.each([404, 410] as const)('%i is absent', async status => {
    using server = serve(`${status} X`, '{}')
    expect(await upstreamAt(server.origin).fetchPackument('lodash', NONE)).toEqual({
      status: 'absent',
      httpStatus: status,
    })
    expect(server.requests).toHaveLength(1)
  })

  const statuses: [string, ErrorCode, number][] = [
    ['401 X', 'refused', 1],
    ['403 X', 'refused', 1],
    ['451 X', 'refused', 1],
    ['400 X', 'upstream-bad-answer', 1],
    ['405 X', 'upstream-bad-answer', 1],
    ['204 X', 'upstream-bad-answer', 1],
    ['206 X', 'upstream-bad-answer', 1],
    ['408 X', 'upstream-unreachable', 1],
    ['429 X', 'upstream-unreachable', 3],
    ['500 X', 'upstream-unreachable', 1],
    ['502 X', 'upstream-unreachable', 3],
    ['503 X', 'upstream-unreachable', 3],
    ['504 X', 'upstream-unreachable', 3],
  ]
  test.each(statuses)('%s is %s, after %i requests (U1)', async (status, code, requests) => {
    using server = serve(status, '', JSON_HEADER)
    const error = await errorOf(upstreamAt(server.origin).fetchPackument('lodash', NONE))
    expect(error.code).toBe(code)
    expect(server.requests).toHaveLength(requests)
  })

  test('hands on how long the upstream asks to wait', async () => {
    using server = serve('429 X', '', 'retry-after: 77')
    const error = await errorOf(upstreamAt(server.origin).fetchPackument('lodash', NONE))
    expect(error.retryAfterSeconds).toBe(77)
  })

  const utf16 = Buffer.from(PACKUMENT, 'utf16le')
  const bodies: [string, string, string | Uint8Array][] = [
    ['HTML', 'text/html', '<html>{}</html>'],
    ['JSON that is labelled HTML', 'text/html; charset=utf-8', PACKUMENT],
    ['JSON that is labelled text', 'text/plain', PACKUMENT],
    ['no label', '', PACKUMENT],
    ['a wrong label', 'application/jsonp', PACKUMENT],
    ['a label that only begins so', 'application/json-seq', PACKUMENT],
    ['HTML that is labelled JSON', 'application/json', '<!doctype html><p>{}</p>'],
    ['nothing', 'application/json', ''],
    ['white space', 'application/json', ' \n\t'],
    ['null', 'application/json', 'null'],
    ['a list', 'application/json', '[]'],
    ['a string', 'application/json', '"{}"'],
    ['a number', 'application/json', '1'],
    ['one brace', 'application/json', '{'],
    ['the other brace', 'application/json', '}'],
    ['a list of objects', 'application/json', '[{},{}]'],
    ['a BOM', 'application/json', `\ufeff${PACKUMENT}`],
    ['a NUL before it', 'application/json', `\0${PACKUMENT}`],
    ['a NUL after it', 'application/json', `${PACKUMENT}\0`],
    ['UTF-16', 'application/json', utf16],
    ['UTF-16 with a BOM', 'application/json', Buffer.concat([Buffer.from([0xff, 0xfe]), utf16])],
    ['half of it', 'application/json', PACKUMENT.slice(0, 20)],
    ['a proxy page', 'application/json', 'Please log in to the hotel network'],
    ['a comment', 'application/json', `/* x */${PACKUMENT}`],
    ['JSONP', 'application/json', `f(${PACKUMENT})`],
  ]
  test.each(bodies)('refuses %s with status 200 (U5)', async (_, type, body) => {
    using server = serve('200 OK', body, ...(type === '' ? [] : [`content-type: ${type}`]))
    const error = await errorOf(upstreamAt(server.origin).fetchPackument('lodash', NONE))
    expect(error.code).toBe('upstream-bad-answer')
    expect(server.requests).toHaveLength(1)
  })

  const types = ['application/json', 'application/json; charset=utf-8', 'Application/JSON']
  types.push('application/vnd.npm.install-v1+json', 'application/json;charset=UTF-8')
  test.each(types)('takes %s', async type => {
    using server = serve('200 OK', `\n ${PACKUMENT} \r\n`, `content-type: ${type}`)
    expect(await upstreamAt(server.origin).fetchPackument('lodash', NONE)).toMatchObject({
      status: 'fresh',
    })
  })

  const names = ['', '..', '../x', 'a/b', '@a/b/c', '-', 'a%2fb', 'a?b', 'a#b', 'a\\b', 'a b', 'é']
  test.each(names)('does not ask for %j', async name => {
    using server = serve('200 OK', PACKUMENT, JSON_HEADER)
    const error = await errorOf(upstreamAt(`${server.origin}/npm`).fetchPackument(name, NONE))
    expect(['invalid-name', 'bad-request']).toContain(error.code)
    expect(server.requests).toHaveLength(0)
  })
})

describe('fetchKeys()', () => {
  test('gives the document as it came', async () => {
    using server = serve('200 OK', '{"keys":[]}', JSON_HEADER)
    const keys = await upstreamAt(`${server.origin}/npm/`).fetchKeys()
    expect(keys).toEqual(new TextEncoder().encode('{"keys":[]}'))
    expect(readRequest(server.requests[0])[0]).toBe('GET /npm/-/npm/v1/keys')
  })

  test.each(['404 X', '400 X'])('%s means that there are none', async status => {
    using server = serve(status, '<html>')
    expect(await upstreamAt(server.origin).fetchKeys()).toBe('none')
  })

  const others = ['204 X', '304 X', '401 X', '403 X', '405 X', '410 X', '429 X', '500 X', '503 X']
  test.each(others)('%s never means that there are none', async status => {
    using server = serveRaw(() => ({ send: [head(status, 'content-length: 0')] }))
    await expect(upstreamAt(server.origin).fetchKeys()).rejects.toBeInstanceOf(RegistryError)
  })

  test('nor does a page, a flood, silence or a closed port', async () => {
    using page = serve('200 OK', '<html></html>', 'content-type: text/html')
    expect((await errorOf(upstreamAt(page.origin).fetchKeys())).code).toBe('upstream-bad-answer')
    using flood = serve('200 OK', `{"a":"${'x'.repeat(2 * 1024 * 1024)}"}`, JSON_HEADER)
    expect((await errorOf(upstreamAt(flood.origin).fetchKeys())).code).toBe('too-large')
    using silent = serveRaw(() => ({ ending: 'open' }))
    expect((await errorOf(upstreamAt(silent.origin).fetchKeys())).code).toBe('upstream-unreachable')
    silent[Symbol.dispose]()
    expect((await errorOf(upstreamAt(silent.origin).fetchKeys())).code).toBe('upstream-unreachable')
  })
})

describe('openTarball()', () => {
  test('streams from the own origin, with its length', async () => {
    using server = serve('200 OK', 'tarball')
    const url = `${server.origin}/elsewhere/lodash-1.0.0.tgz`
    const { stream, length } = await upstreamAt(`${server.origin}/npm/`).openTarball(url)
    expect(length).toBe(7)
    expect(await new Response(stream).text()).toBe('tarball')
  })

  test('goes to no other origin, with or without a credential', async () => {
    using other = serve('200 OK', 'tarball')
    using server = serve('200 OK', 'tarball')
    const upstream = upstreamAt(server.origin, { credential: new Credential('Bearer x') })
    for (const url of [
      `${other.origin}/a.tgz`,
      'https://127.0.0.1/a.tgz',
      'file:///etc/passwd',
      '',
    ]) {
      expect((await errorOf(upstream.openTarball(url))).code).toBe('bad-request')
    }
    expect([server.connections, other.connections]).toEqual([0, 0])
  })

  test('says not-found, refused and unreachable apart', async () => {
    const cases: [string, ErrorCode][] = [
      ['404 X', 'not-found'],
      ['403 X', 'refused'],
      ['503 X', 'upstream-unreachable'],
      ['204 X', 'upstream-bad-answer'],
    ]
    for (const [status, code] of cases) {
      using server = serve(status, '')
      const error = await errorOf(upstreamAt(server.origin).openTarball(`${server.origin}/a.tgz`))
      expect(error.code).toBe(code)
    }
  })
})

describe('pass()', () => {
  test('hands on the question and the answer, and no header beyond the list', async () => {
    using server = serve('400 X', '{"error":"no"}', JSON_HEADER, 'set-cookie: a=b', 'npm-notice: x')
    const answer = await upstreamAt(`${server.origin}/npm/`).pass({
      method: 'POST',
      path: '-/npm/v1/security/advisories/bulk',
      headers: new Headers({
        'authorization': 'Bearer canary',
        'cookie': 'canary',
        'npm-otp': 'canary',
        'x-forwarded-for': 'canary',
        'content-type': 'application/json',
        'content-encoding': 'gzip',
      }),
      body: new Uint8Array(Bun.gzipSync('{"a":["1.0.0"]}')),
    })
    expect(answer.status).toBe(400)
    expect(new TextDecoder().decode(answer.bytes)).toBe('{"error":"no"}')
    expect([...answer.headers.keys()]).toEqual(['content-type'])
    const [first, headers] = readRequest(server.requests[0])
    expect(first).toBe('POST /npm/-/npm/v1/security/advisories/bulk')
    expect(headers).toContain('content-encoding: gzip')
    expect(headers.join('\n')).not.toContain('canary')
  })

  test('sends the credential of the upstream', async () => {
    using server = serve('200 OK', '{}', JSON_HEADER)
    const upstream = upstreamAt(server.origin, { credential: new Credential('Bearer own') })
    await upstream.pass({
      method: 'GET',
      path: '-/v1/search?text=a%20b&size=3',
      headers: new Headers(),
    })
    const [first, headers] = readRequest(server.requests[0])
    expect(first).toBe('GET /-/v1/search?text=a%20b&size=3')
    expect(headers).toContain('authorization: bearer own')
  })

  const allowed = ['-/v1/search', "-/v1/search?text=it's", '-/npm/v1/attestations/@s%2fn@1.0.0-a+b']
  allowed.push('-/npm/v1/attestations/lodash@4.17.21', '-/npm/v1/attestations/@s/n@1.0.0')
  allowed.push('-/npm/v1/security/audits', '-/npm/v1/security/audits/quick')
  test.each(allowed)('asks for %s', async path => {
    using server = serve('200 OK', '{}', JSON_HEADER)
    const answer = await upstreamAt(server.origin).pass({
      method: 'GET',
      path,
      headers: new Headers(),
    })
    expect(answer.status).toBe(200)
  })

  const refused = ['', 'lodash', '/-/v1/search', '-/whoami', '-/npm/v1/tokens', '-/user/token/x']
  refused.push('-/npm/v1/attestations/..', '-/npm/v1/attestations/%2e%2e/x', '-/v1/search#x')
  refused.push('-/npm/v1/attestations/../tokens', '-/v1/search?a=\r\nx: y', '-/v1/search?a=#')
  refused.push(
    `-/v1/search?${'x'.repeat(3000)}`,
    'https://x.example/-/v1/search',
    '-/v1/../v1/search',
  )
  test.each(refused)('does not ask for %j', async path => {
    using server = serve('200 OK', '{}', JSON_HEADER)
    const asked = upstreamAt(server.origin).pass({ method: 'GET', path, headers: new Headers() })
    expect((await errorOf(asked)).code).toBe('bad-request')
    expect(server.requests).toHaveLength(0)
  })

  test('does not hand on a 401, a 5xx or a body that is too large', async () => {
    for (const [status, code] of [
      ['401 X', 'refused'],
      ['503 X', 'upstream-unreachable'],
    ] as const) {
      using server = serve(status, '{}')
      const asked = upstreamAt(server.origin).pass({
        method: 'POST',
        path: '-/npm/v1/security/audits',
        headers: new Headers(),
      })
      expect((await errorOf(asked)).code).toBe(code)
      expect(server.requests).toHaveLength(1)
    }
    const body = new Uint8Array(PASS_BODY_BYTES_MAX + 1)
    const path = '-/npm/v1/security/audits'
    const asked = upstreamAt('http://127.0.0.1:1').pass({
      method: 'POST',
      path,
      headers: new Headers(),
      body,
    })
    expect((await errorOf(asked)).code).toBe('too-large')
  })
})

describe('new Upstream() refuses', () => {
  const urls = ['', 'registry.example', 'file:///x', 's3://x/y', 'https://u:p@registry.example/']
  urls.push('https://registry.example/?a=b', 'https://registry.example/#x', 'unix:///run/x.sock')
  test.each(urls)('the URL %j', url => {
    expect(() => upstreamAt(url)).toThrow(RegistryError)
  })

  test('a credential that would travel in the clear', () => {
    const credential = new Credential('Bearer x')
    expect(() => upstreamAt('http://registry.example', { credential })).toThrow('needs https')
    expect(() => upstreamAt('http://registry.example')).not.toThrow()
    expect(upstreamAt('http://localhost:1', { credential }).url).toBe('http://localhost:1/')
  })

  test.each(['http://cdn.example', 'https://cdn.example/', 'https://cdn.example/x', 'cdn', '*'])(
    '%j as an origin of tarballs',
    origin => {
      const make = (): Upstream =>
        upstreamAt('https://registry.example', { tarballOrigins: [origin] })
      expect(make).toThrow('is no https origin')
    },
  )
})
