/**
 * The log over HTTP: tries, limits, sentences. What the bytes say is not its business.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { httpReader, LogHttpError } from '../../../src/cli/log-http.ts'

const PACE = { pauseFirstMs: 1, pauseMaxMs: 5 }

function serve(handler: (path: string, request: Request) => Response | Promise<Response>) {
  const asked: string[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      const { pathname, search } = new URL(request.url)
      asked.push(pathname + search)
      return handler(pathname, request)
    },
  })
  return {
    asked,
    url: `http://127.0.0.1:${server.port}/npm/`,
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

async function failureOf(promise: Promise<unknown>): Promise<LogHttpError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof LogHttpError)) throw new Error('did not fail as it should')
  return error
}

describe('paths', () => {
  test('keep the prefix of the registry and escape what could change the path', async () => {
    await using server = serve(() => new Response('x'))
    const { ops, readVkey } = httpReader(server.url, PACE)
    await ops.readCheckpoint()
    await ops.readTile('tile/0/x001/067.p/5')
    await ops.lookup('@babel/core', '7.26.0')
    await ops.lookup('a?b#c', '1.0.0+x', 'registry.example')
    expect(await readVkey()).toBe('x')
    expect(server.asked).toEqual([
      '/npm/-/sumdb/checkpoint',
      '/npm/-/sumdb/tile/0/x001/067.p/5',
      '/npm/-/sumdb/lookup/@babel/core@7.26.0',
      '/npm/-/sumdb/lookup/a%3Fb%23c@1.0.0%2Bx?ns=registry.example',
      '/npm/-/sumdb/vkey',
    ])
  })
})

describe('failures', () => {
  test('404 is missing, 403 refused in the words of the server, in one line', async () => {
    await using server = serve(path =>
      Response.json(
        { error: `no ${'x'.repeat(400)}\n\u001B[31mred` },
        { status: path.includes('a@') ? 404 : 403 },
      ),
    )
    const { ops } = httpReader(server.url, PACE)
    expect(await failureOf(ops.lookup('a', '1.0.0'))).toMatchObject({ code: 'missing' })
    const refused = await failureOf(ops.lookup('b', '1.0.0'))
    expect(refused.code).toBe('refused')
    expect(refused.message).toHaveLength(300)
    expect(refused.message).not.toMatch(/\p{C}/u)
    expect(server.asked).toHaveLength(2)
  })

  test('a body that is no JSON, or no text, still makes an error', async () => {
    for (const body of ['<html>', 'null', '{"error":{}}', '']) {
      await using server = serve(() => new Response(body, { status: 404 }))
      const { ops } = httpReader(server.url, PACE)
      const failed = await failureOf(ops.lookup('a', '1.0.0'))
      expect(failed.code).toBe('missing')
      expect(failed.message).toBe(`${server.url}-/sumdb/lookup/a@1.0.0 answered 404`)
    }
  })

  test('503 is tried again, four times at most; then it is unreachable', async () => {
    let busy = 3
    await using server = serve(() => {
      busy -= 1
      return busy >= 0 ? new Response('', { status: 503 }) : new Response('note')
    })
    const { ops } = httpReader(server.url, PACE)
    expect(await ops.readCheckpoint()).toBe('note')
    expect(server.asked).toHaveLength(4)
    busy = 1000
    expect(await failureOf(ops.readCheckpoint())).toMatchObject({ code: 'unreachable' })
    expect(server.asked).toHaveLength(8)
  })

  test('a server that is gone is tried again, then unreachable', async () => {
    const server = serve(() => new Response(''))
    await server[Symbol.asyncDispose]()
    const { ops } = httpReader(server.url, PACE)
    expect(await failureOf(ops.readCheckpoint())).toMatchObject({ code: 'unreachable' })
  })

  test('another status is not tried again', async () => {
    await using server = serve(() => new Response('', { status: 401 }))
    const failed = await failureOf(httpReader(server.url, PACE).ops.readCheckpoint())
    expect(failed.message).toContain('answered 401')
    expect(server.asked).toHaveLength(1)
  })
})

describe('limits', () => {
  test('an answer that is too long is cut off, also when it is compressed', async () => {
    await using server = serve(() => {
      const body = Bun.gzipSync(new Uint8Array(4 * 1024 * 1024))
      return new Response(new Blob([body]), { headers: { 'content-encoding': 'gzip' } })
    })
    const { ops, readVkey } = httpReader(server.url, PACE)
    const reads = [() => ops.readCheckpoint(), () => ops.readTile('tile/0/000'), () => readVkey()]
    for (const read of reads) {
      expect((await failureOf(read())).message).toContain('more than')
    }
  })

  test('a bundle of entries may be longer than a tile', async () => {
    await using server = serve(() => new Response(new Blob([new Uint8Array(100_000)])))
    const { ops } = httpReader(server.url, PACE)
    expect(await ops.readTile('tile/entries/000')).toHaveLength(100_000)
    expect((await failureOf(ops.readTile('tile/0/000'))).message).toContain('more than 8192')
  })
})

describe('tarballs', () => {
  const sha1 = (text: string) => new Bun.CryptoHasher('sha1').update(text).digest('hex')

  test('the usual file, after a redirect too', async () => {
    await using server = serve(path =>
      path.endsWith('/estree-1.0.6.tgz')
        ? new Response(null, { status: 302, headers: { location: '/elsewhere' } })
        : new Response('bytes'),
    )
    const { sha512, sha1: found } = await httpReader(server.url, PACE).hashTarball(
      '@types/estree',
      '1.0.6',
    )
    expect(sha512).toStartWith('sha512-')
    expect(found).toBe(sha1('bytes'))
    expect(server.asked).toEqual(['/npm/@types/estree/-/estree-1.0.6.tgz', '/elsewhere'])
  })

  test('a file of another name is found in the manifest', async () => {
    await using server = serve(path => {
      if (path === '/npm/a/1.0.0') {
        return Response.json({ dist: { tarball: 'https://files.example/a/-/a-01.0.0.tgz' } })
      }
      return path === '/npm/a/-/a-01.0.0.tgz'
        ? new Response('odd')
        : new Response('', { status: 404 })
    })
    const reader = httpReader(server.url, PACE)
    expect((await reader.hashTarball('a', '1.0.0')).sha1).toBe(sha1('odd'))
    expect(await failureOf(reader.hashTarball('b', '1.0.0'))).toMatchObject({ code: 'missing' })
  })

  test('an archive is taken from where the lockfile says, over the web only', async () => {
    await using server = serve(() => new Response('there'))
    const reader = httpReader('http://127.0.0.1:1/', PACE)
    const archive = `${server.url}x.tgz`
    expect((await reader.hashTarball('a', '1.0.0', archive)).sha1).toBe(sha1('there'))
    for (const other of ['file:///etc/passwd', 'data:,x']) {
      const failed = await failureOf(reader.hashTarball('a', '1.0.0', other))
      expect(failed.message).toContain('is no way to fetch')
    }
  })
})
