/**
 * What a domain and a DID document say of a registry's keys. Goal: whoever took over a web server
 * and not the zone is seen, and a zone that says nothing stands in nobody's way.
 */
import { describe, expect, test } from 'bun:test'
import {
  didBinding,
  dnsBinding,
  resolveTxt,
} from '../../../../src/registries/sources/dns-identity.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { didDocument } from '../../../../src/registries/keys/did.ts'
import { generateSigningKey, publishedKey } from '../../../../src/registries/keys/own-key.ts'
import { generateLogKey } from '../../../../src/log/note.ts'

const URL_OF = 'https://npm.acme.example/path/'
const A = `SHA256:${'A'.repeat(43)}`
const B = `SHA256:${'B'.repeat(43)}`

async function bindingOf(records: string[], published: string[]) {
  const asked: string[] = []
  const resolve = async (name: string) => {
    asked.push(name)
    return records.map(text => [text.slice(0, 20), text.slice(20)])
  }
  const binding = await dnsBinding(URL_OF, published, resolve)
  expect(asked).toEqual(['_npm-registry.npm.acme.example'])
  return binding
}

function failing(code: string) {
  return async () => {
    throw Object.assign(new Error('dns'), { code })
  }
}

describe('TXT records', () => {
  test('that name the published keys are the same, however they are written', async () => {
    for (const records of [[`key=${A}`, `key=${B}`], [`key=${A}; key=${B}`], [`v=1 key=${A}`]]) {
      const binding = await bindingOf(records, [A])
      expect(binding).toMatchObject({ by: 'dns', state: 'same' })
      expect(binding.keyids).toContain(A)
    }
  })

  test('that name other keys, or keys of a registry that publishes none, are different', async () => {
    expect(await bindingOf([`key=${A}`], [B])).toMatchObject({ state: 'different', keyids: [A] })
    expect(await bindingOf([`key=${A}`], [])).toMatchObject({ state: 'different' })
  })

  test('that name some of the published keys say which they leave out', async () => {
    const some = await bindingOf([`key=${A}`], [A, B])
    expect(some).toMatchObject({ state: 'some', keyids: [A] })
    expect(some.detail).toContain(B)
  })

  test('that name no key say nothing', async () => {
    for (const records of [[], ['v=spf1 -all'], ['key=SHA256:short'], [`akey=${A}`]]) {
      expect(await bindingOf(records, [A])).toMatchObject({ state: 'absent', keyids: [] })
    }
  })

  test('that are not there are absent; a resolver that fails is unknown', async () => {
    for (const code of ['ENOTFOUND', 'ENODATA']) {
      expect(await dnsBinding(URL_OF, [A], failing(code))).toMatchObject({ state: 'absent' })
    }
    const unknown = await dnsBinding(URL_OF, [A], failing('ESERVFAIL'))
    expect(unknown).toMatchObject({ state: 'unknown' })
    expect(unknown.detail).toContain('ESERVFAIL')
  })

  test('are not asked for of addresses and of this machine', async () => {
    for (const host of ['127.0.0.1', '::1', 'localhost', 'a.localhost']) {
      expect(await resolveTxt(`_npm-registry.${host}`)).toEqual([])
    }
  })
})

describe('a DID document', () => {
  const fetcher = new Fetcher({ userAgent: 'test', limits: { retriesMax: 0 } })
  const key = publishedKey(generateSigningKey())
  const { vkey } = generateLogKey('npm.acme.example/log', new Uint8Array(32))

  async function bindingAt(answer: (base: string) => Response, published: string[]) {
    await using server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: request => answer(`${new URL(request.url).origin}/`),
    })
    const url = server.url.href
    return await didBinding(fetcher, { origin: new URL(url).origin }, url, published)
  }

  const document = (publicUrl: string) =>
    new Response(didDocument({ publicUrl, key, vkey }), {
      headers: { 'content-type': 'application/did+json' },
    })

  test('with the published keys is the same, with others it is different', async () => {
    expect(await bindingAt(document, [key.keyid])).toMatchObject({ by: 'did', state: 'same' })
    const other = await bindingAt(document, [A])
    expect(other).toMatchObject({ state: 'different', keyids: [key.keyid] })
  })

  test('of another host, or a page in its place, says nothing', async () => {
    const foreign = await bindingAt(() => document('https://other.example/'), [key.keyid])
    expect(foreign).toMatchObject({ state: 'unknown' })
    const html = await bindingAt(() => new Response('<!doctype html>'), [key.keyid])
    expect(html).toMatchObject({ state: 'unknown' })
    const none = await bindingAt(() => new Response('', { status: 404 }), [key.keyid])
    expect(none).toMatchObject({ state: 'absent' })
  })
})
