import { describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { chunk, head, serveRaw } from '../raw-server.ts'
import type { FetchLimits } from '../../../../src/registries/fetch/fetch-limits.ts'
import type { FetchRequest } from '../../../../src/registries/fetch/fetcher.ts'

const MIB = 1024 * 1024

function newFetcher(limits: Partial<FetchLimits> = {}): Fetcher {
  return new Fetcher({ userAgent: 'npmx-registry/test', limits: { retryDelayMs: 2, ...limits } })
}

function ask(origin: string, bytesMax = MIB): FetchRequest {
  return { site: { origin }, url: `${origin}/a.tgz`, bytesMax }
}

async function bodyOf(fetcher: Fetcher, request: FetchRequest): Promise<Uint8Array> {
  const { body } = await fetcher.open(request)
  return new Response(body).bytes()
}

const tarball = gzipSync(Buffer.from(crypto.randomUUID().repeat(100)))

describe('open()', () => {
  test('gives the bytes as they are on the wire, with their length', async () => {
    const encodings = ['x-none: 1', 'content-encoding: gzip', 'content-encoding: br']
    for (const encoding of encodings) {
      using server = serveRaw(() => ({
        send: [head('200 OK', encoding, `content-length: ${tarball.length}`), tarball],
      }))
      const { status, length, body } = await newFetcher().open(ask(server.origin))
      expect([status, length]).toEqual([200, tarball.length])
      expect(await new Response(body).bytes()).toEqual(new Uint8Array(tarball))
      expect(server.requests[0]?.toLowerCase()).toContain('accept-encoding: identity')
    }
  })

  test('gives no body for any other status', async () => {
    for (const status of [201, 206, 304, 403, 404, 500]) {
      using server = serveRaw(() => ({ send: [head(`${status} X`, 'content-length: 0')] }))
      const answer = await newFetcher().open(ask(server.origin))
      expect(answer).toMatchObject({ status, body: null, length: null })
    }
  })

  test('ends in an error when the body is cut, at 30 points', async () => {
    const forms: [string, Uint8Array, number][] = [
      [`content-length: ${tarball.length}`, tarball, 1],
      ['transfer-encoding: chunked', Buffer.concat([chunk(tarball), Buffer.from('0\r\n\r\n')]), 5],
    ]
    for (const [header, wire, tail] of forms) {
      let cut = 0
      using server = serveRaw(() => ({ send: [head('200 OK', header), wire.subarray(0, cut)] }))
      const fetcher = newFetcher({ retriesMax: 0 })
      for (let i = 0; i < 30; i += 1) {
        cut = Math.floor(((wire.length - tail) * i) / 29)
        await expect(bodyOf(fetcher, ask(server.origin))).rejects.toThrow()
        cut = wire.length
        expect(await bodyOf(fetcher, ask(server.origin))).toHaveLength(tarball.length)
      }
    }
  })

  test('refuses more than the limit, said before or not', async () => {
    using said = serveRaw(() => ({ send: [head('200 OK', 'content-length: 11')], ending: 'open' }))
    await expect(newFetcher().open(ask(said.origin, 10))).rejects.toMatchObject({
      code: 'too-large',
    })
    const send = [head('200 OK', 'transfer-encoding: chunked'), chunk(Buffer.alloc(11))]
    using unsaid = serveRaw(() => ({ send, ending: 'open' }))
    await expect(bodyOf(newFetcher(), ask(unsaid.origin, 10))).rejects.toMatchObject({
      code: 'too-large',
    })
  })

  test('gives a place back at the end, at a cancel, at an error and after a status', async () => {
    let n = 0
    using server = serveRaw(() => {
      n += 1
      if (n === 3) return { send: [head('404 X', 'content-length: 0')] }
      const send = [
        head('200 OK', `content-length: ${tarball.length}`),
        tarball.subarray(0, n === 2 ? 9 : undefined),
      ]
      return { send }
    })
    const fetcher = newFetcher({ streamsMax: 1, totalTimeoutMs: 3000 })
    await bodyOf(fetcher, ask(server.origin))
    await expect(bodyOf(fetcher, ask(server.origin))).rejects.toThrow()
    await fetcher.open(ask(server.origin))
    const cancelled = await fetcher.open(ask(server.origin))
    await cancelled.body?.cancel()
    expect(await bodyOf(fetcher, ask(server.origin))).toHaveLength(tarball.length)
  })

  test('cuts a slow upstream, and a reader that takes nothing', async () => {
    const send = [head('200 OK', 'content-length: 1000'), 'x']
    using server = serveRaw(() => ({ send, ending: 'open' }))
    const fetcher = newFetcher({ idleTimeoutMs: 300, readerTimeoutMs: 250, streamsMax: 1 })
    await expect(bodyOf(fetcher, ask(server.origin))).rejects.toMatchObject({ phase: 'timeout' })
    const stalled = await fetcher.open(ask(server.origin))
    await Bun.sleep(400)
    await expect(new Response(stalled.body).bytes()).rejects.toThrow('nobody reads')
    const begun = (await fetcher.open(ask(server.origin))).body?.getReader()
    expect(await begun?.read()).toEqual({ done: false, value: new Uint8Array([0x78]) })
    await Bun.sleep(400)
    await expect(begun?.read()).rejects.toThrow('nobody reads')
  })

  test('does not count the time that its reader takes', async () => {
    using server = serveRaw(() => ({
      send: [head('200 OK', `content-length: ${2 * MIB}`), Buffer.alloc(2 * MIB)],
    }))
    const { body } = await newFetcher({ totalTimeoutMs: 600, idleTimeoutMs: 600 }).open(
      ask(server.origin, 2 * MIB),
    )
    let bytes = 0
    let waits = 0
    for await (const piece of body ?? []) {
      bytes += piece.byteLength
      if (waits < 3) await Bun.sleep(300)
      waits += 1
    }
    expect(bytes).toBe(2 * MIB)
  })
})
