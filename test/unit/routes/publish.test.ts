/**
 * Packages that live here, through the front door: publish and install back, everything that changes
 * them afterwards, private ones, and another instance that adds this one by its URL.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { bundleOf, Client, fileSeed, publishBodyOf, tarballOf } from '../../fixtures/publishing.ts'
import { storedTarballs } from '../../fixtures/stored-tarballs.ts'
import { operate } from '../../fixtures/accounts.ts'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { until } from '../../fixtures/patience.ts'

let registry: FixtureRegistry
let instance: Instance
let roe: Client
let anybody: Client

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url)
  roe = await Client.named(instance, 'roe')
  anybody = new Client(instance)
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

const integrityOf = (bytes: Uint8Array) =>
  `sha512-${createHash('sha512').update(bytes).digest('base64')}`

const blobsOf = ({ dataDir }: Instance) => storedTarballs(dataDir)

/** Small tarballs are rows, the others files. */
const SIZES: [string, (text: string) => string][] = [
  ['row', text => text],
  ['file', fileSeed],
]

async function logSize(at: Instance): Promise<number> {
  const note = await (await at.get('-/sumdb/checkpoint')).text()
  return Number(note.split('\n')[1])
}

describe('publishing', () => {
  test('what was published is what is installed, signed and recorded', async () => {
    const release = { name: 'left-shed', version: '1.0.0', manifest: { bin: 'index.js' } }
    const answer = await roe.publish(release)
    expect(await answer.json()).toEqual({ ok: true, success: true })
    expect(answer.status).toBe(201)
    const notice = answer.headers.get('npm-notice') ?? ''
    expect(notice).toContain('left-shed@1.0.0 is leaf ')
    const packument = await instance.packument('left-shed')
    const { dist } = packument.versions['1.0.0'] ?? {}
    const bytes = tarballOf(release)
    expect(packument['dist-tags']).toEqual({ latest: '1.0.0' })
    expect(dist?.integrity).toBe(integrityOf(bytes))
    expect(dist?.tarball).toBe(`${instance.url}left-shed/-/left-shed-1.0.0.tgz`)
    expect(dist?.signatures).toHaveLength(1)
    const tarball = await instance.get('left-shed/-/left-shed-1.0.0.tgz')
    expect(tarball.status).toBe(200)
    expect(new Uint8Array(await tarball.arrayBuffer())).toEqual(bytes)
    const proof = await fetch(notice.slice(notice.indexOf('http')))
    expect(await proof.text()).toStartWith('c2sp.org/tlog-proof@v1\n')
    const lookup = await (await instance.get('-/sumdb/lookup/left-shed@1.0.0')).text()
    const [signature] = dist?.signatures ?? []
    expect(lookup).toContain(
      `${new URL(instance.url).host}/left-shed@1.0.0 ${integrityOf(bytes)}\n`,
    )
    expect(lookup).toContain(`\nkey ${signature?.keyid}\nsig ${signature?.sig}\n`)
  })

  test('whether its document is small or large, every encoding holds the same', async () => {
    const texts = new Set<string>()
    for (const [i, description] of ['short', 'long '.repeat(20_000), 'short'].entries()) {
      const release = { name: 'sized', version: `1.0.${i}`, manifest: { description } }
      expect((await roe.publish(release)).status).toBe(201)
      for (const accept of ['application/json', 'application/vnd.npm.install-v1+json']) {
        const answers = await Promise.all(
          ['identity', 'gzip', 'zstd'].map(async encoding => {
            const headers = { accept, 'accept-encoding': encoding }
            const answer = await instance.get('sized', headers)
            return [answer.headers.get('etag'), await answer.text()] as const
          }),
        )
        const [[etag, text] = [null, '']] = answers
        expect(answers).toEqual([
          [etag, text],
          [etag, text],
          [etag, text],
        ])
        expect(etag).toBe(`"${createHash('sha256').update(text).digest('base64url')}"`)
        expect(text).toContain(`"latest":"1.0.${i}"`)
        texts.add(text)
      }
    }
    expect(texts.size).toBe(6)
    // The version that made it large is gone: it is small again.
    const document = await roe.document('sized')
    const { '1.0.1': _, ...versions } = Object(document['versions'])
    const path = `sized/-rev/${String(document['_rev'])}`
    expect((await roe.send('PUT', path, { ...document, versions })).status).toBeLessThan(300)
    expect(Object.keys((await instance.packument('sized')).versions)).toEqual(['1.0.0', '1.0.2'])
  })

  test('all forms of a path are the same package', async () => {
    for (const [i, path] of ['@roe/paths', '@roe%2fpaths', '@roe%2Fpaths'].entries()) {
      const release = { name: '@roe/paths', version: `1.0.${i}` }
      expect((await roe.send('PUT', path, publishBodyOf(release))).status).toBe(201)
    }
    const { versions } = await instance.packument('@roe%2fpaths')
    expect(Object.keys(versions)).toEqual(['1.0.0', '1.0.1', '1.0.2'])
  })

  test('provenance is handed out as it came', async () => {
    const release = { name: 'proven', version: '1.0.0' }
    const body = publishBodyOf(release)
    const data = bundleOf(release)
    const type = 'application/vnd.dev.sigstore.bundle.v0.3+json'
    const bundle = { content_type: type, data, length: data.length }
    const attachments = { ...Object(body['_attachments']), 'proven-1.0.0.sigstore': bundle }
    const answer = await roe.send('PUT', 'proven', { ...body, _attachments: attachments })
    expect(answer.status).toBe(201)
    const predicateType = 'https://slsa.dev/provenance/v1'
    const manifest: unknown = await (await instance.get('proven/1.0.0')).json()
    const url = `${instance.url}-/npm/v1/attestations/proven@1.0.0`
    expect(manifest).toMatchObject({
      dist: { attestations: { url, provenance: { predicateType } } },
    })
    const attestations: unknown = await (await fetch(url)).json()
    expect(attestations).toEqual({ attestations: [{ predicateType, bundle: JSON.parse(data) }] })
  })

  test('a part of a tarball, and its head', async () => {
    await roe.publish({ name: 'ranged', version: '1.0.0' })
    const part = await instance.get('ranged/-/ranged-1.0.0.tgz', { range: 'bytes=0-1' })
    expect(part.status).toBe(206)
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(new Uint8Array([0x1f, 0x8b]))
  })

  test('a number that was published is taken, with a sentence that says so', async () => {
    await roe.publish({ name: 'taken', version: '1.0.0' })
    const size = await logSize(instance)
    const again = await roe.publish({ name: 'taken', version: '1.0.0', seed: 'other' })
    expect(again.status).toBe(403)
    expect((await errorOf(again)).error).toStartWith(
      'You cannot publish over the previously published versions',
    )
    expect(await logSize(instance)).toBe(size)
  })

  test('a name that its registry has is not published here', async () => {
    const answer = await roe.publish({ name: 'alpha', version: '99.0.0' })
    expect(answer.status).toBe(403)
    expect((await errorOf(answer)).error).toContain('alpha belongs to npm')
  })

  test('a name that cannot be asked for is not given away', async () => {
    await registry.goAway('refuse')
    try {
      expect((await roe.publish({ name: 'unasked', version: '1.0.0' })).status).toBe(503)
    } finally {
      registry.comeBack()
    }
    expect((await anybody.get('unasked')).status).not.toBe(200)
  })

  test('nobody publishes without a token, over others, or beyond the token', async () => {
    const release = { name: 'guarded', version: '1.0.0' }
    expect((await anybody.publish(release)).status).toBe(401)
    const reader = await Client.named(instance, 'reader', { readOnly: true })
    expect((await reader.publish(release)).status).toBe(403)
    const narrow = await Client.named(instance, 'narrow', { packages: ['@narrow/*'] })
    expect((await narrow.publish(release)).status).toBe(403)
    expect((await roe.publish(release)).status).toBe(201)
    const other = await Client.named(instance, 'other')
    const refused = await other.publish({ ...release, version: '1.0.1' })
    expect(refused.status).toBe(403)
    expect((await errorOf(refused)).error).toContain('other is no maintainer of guarded')
  })

  test('20 versions at once: none lost, none doubled', async () => {
    const versions = Array.from({ length: 20 }, (_, i) => `1.0.${i}`)
    const before = await logSize(instance)
    const answers = await Promise.all(
      versions.map(version => roe.publish({ name: 'busy', version })),
    )
    expect(answers.map(({ status }) => status)).toEqual(versions.map(() => 201))
    expect(await logSize(instance)).toBe(before + 20)
    const packument = await instance.packument('busy')
    expect(Object.keys(packument.versions).toSorted()).toEqual(versions.toSorted())
  })

  test.each(SIZES)(
    '20 bytes for one version at once: one is published, the others leave no %s',
    async (kind, seedOf) => {
      const seeds = Array.from({ length: 20 }, (_, i) => seedOf(`seed ${i}`))
      const before = await logSize(instance)
      const stored = blobsOf(instance).length
      const name = `contested-${kind}`
      const answers = await Promise.all(
        seeds.map(seed => roe.publish({ name, version: '1.0.0', seed })),
      )
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 403)).toHaveLength(19)
      expect(await logSize(instance)).toBe(before + 1)
      expect(blobsOf(instance)).toHaveLength(stored + 1)
    },
  )

  test('whoever reads after a publish sees it, also while others read all the time', async () => {
    for (let i = 0; i < 10; i += 1) {
      const reading = Array.from({ length: 5 }, () => anybody.get('read-back'))
      const answer = await roe.publish({ name: 'read-back', version: `1.0.${i}` })
      expect(answer.status).toBe(201)
      const { versions } = await instance.packument('read-back')
      expect(Object.keys(versions)).toHaveLength(i + 1)
      await Promise.all(reading)
    }
  })

  test('a body that is refused leaves no file, row or leaf', async () => {
    const files = blobsOf(instance)
    const size = await logSize(instance)
    const body = publishBodyOf({ name: 'bad-body', version: '1.0.0' })
    const wrong = { ...publishBodyOf({ name: 'bad-body', version: '1.0.1' }), versions: {} }
    const mixed = { ...body, _attachments: { 'bad-body-1.0.0.tgz': { data: 'AAAA', length: 3 } } }
    for (const bad of [wrong, mixed, [], 'text', null]) {
      const { status } = await roe.send('PUT', 'bad-body', bad)
      expect(status).toBeOneOf([400, 422])
    }
    expect(blobsOf(instance)).toEqual(files)
    expect(await logSize(instance)).toBe(size)
    expect((await anybody.get('bad-body')).status).toBe(404)
  })

  test('what is refused before the first publish of all logs not even a key', async () => {
    await using other = await Instance.start(registry.url)
    await operate(other, 'upstream/set', {
      name: 'hosted',
      settings: { names: ['plain'] },
      confirm: [],
    })
    const ann = await Client.named(other, 'ann')
    const size = await logSize(other)
    const release = { name: 'plain', version: '1.0.0', access: 'restricted' } as const
    expect((await ann.publish(release)).status).toBe(400)
    expect(await logSize(other)).toBe(size)
    expect((await ann.publish({ ...release, access: 'public' })).status).toBe(201)
    // The key, and the version.
    expect(await logSize(other)).toBe(size + 2)
  })

  test('a document never has the date of the one before, also when that was not sent', async () => {
    const publish = (version: string) => roe.publish({ name: 'dated', version })
    await publish('1.0.0')
    // The whole of it within one second: dates have no smaller parts.
    await Bun.sleep(1010 - (Date.now() % 1000))
    const first = await anybody.get('dated')
    await publish('1.0.1')
    await (await anybody.get('dated/latest')).text()
    await publish('1.0.2')
    const since = { 'if-modified-since': first.headers.get('last-modified') ?? '' }
    const later = await anybody.get('dated', since)
    expect(later.status).toBe(200)
    expect(await later.text()).toContain('"1.0.2"')
  })

  test('a tarball that no version refers to goes at the next start', async () => {
    await using other = await Instance.start(registry.url)
    const ann = await Client.named(other, 'ann')
    await ann.publish({ name: 'kept', version: '1.0.0' })
    await ann.publish({ name: 'kept-too', version: '1.0.0', seed: fileSeed('kept') })
    const kept = blobsOf(other)
    expect(kept).toHaveLength(2)
    const orphan = 'ab'.repeat(64)
    await Bun.write(join(other.dataDir, 'blobs', 'ab', orphan), 'left by a crash')
    await other.restart()
    await until(() => !blobsOf(other).includes(orphan))
    expect(blobsOf(other)).toEqual(kept)
    expect((await other.get('kept/-/kept-1.0.0.tgz')).status).toBe(200)
    expect((await other.get('kept-too/-/kept-too-1.0.0.tgz')).status).toBe(200)
  })
})

describe('changes', () => {
  test('deprecate and undeprecate, by the revision that was read', async () => {
    await roe.publish({ name: 'old', version: '1.0.0' })
    await roe.publish({ name: 'old', version: '2.0.0' })
    const deprecate = async (text: string, from?: Record<string, unknown>) => {
      const document = from ?? (await roe.document('old'))
      const first = { name: 'old', version: '1.0.0', deprecated: text }
      const second = { name: 'old', version: '2.0.0' }
      const versions = { '1.0.0': first, '2.0.0': second }
      return await roe.send('PUT', 'old', { ...document, versions })
    }
    const stale = await roe.document('old')
    expect((await deprecate('use new')).status).toBe(200)
    const deprecated = async () =>
      Object.values((await instance.packument('old')).versions).map(each => each.deprecated)
    expect(await deprecated()).toEqual(['use new', undefined])
    expect((await deprecate('too late', stale)).status).toBe(409)
    expect((await deprecate('')).status).toBe(200)
    expect(await deprecated()).toEqual([undefined, undefined])
    const { versions } = await instance.packument('old', {
      accept: 'application/vnd.npm.install-v1+json',
    })
    expect(Object.keys(versions)).toEqual(['1.0.0', '2.0.0'])
  })

  test('a version that is unpublished is gone, and its number stays taken', async () => {
    await roe.publish({ name: 'gone', version: '1.0.0' })
    await roe.publish({ name: 'gone', version: '2.0.0' })
    const size = await logSize(instance)
    const document = await roe.document('gone')
    const versions = { '1.0.0': { name: 'gone', version: '1.0.0' } }
    const tags = { latest: '1.0.0' }
    const changed = { ...document, versions, 'dist-tags': tags }
    const put = await roe.send('PUT', `gone/-rev/${String(document['_rev'])}`, changed)
    expect(put.status).toBe(200)
    const { _rev: rev } = await roe.document('gone')
    const tarball = await roe.send('DELETE', `gone/-/gone-2.0.0.tgz/-rev/${String(rev)}`)
    expect(tarball.status).toBe(200)
    const packument = await instance.packument('gone')
    expect(Object.keys(packument.versions)).toEqual(['1.0.0'])
    expect(packument['dist-tags']).toEqual(tags)
    expect((await anybody.get('gone/-/gone-2.0.0.tgz')).status).toBe(410)
    expect((await anybody.get('gone/2.0.0')).status).toBe(404)
    expect(await logSize(instance)).toBe(size + 1)
    expect((await roe.publish({ name: 'gone', version: '2.0.0' })).status).toBe(403)
    expect((await anybody.get('-/sumdb/lookup/gone@2.0.0')).status).toBe(200)
  })

  test('a whole package that is unpublished, and its next version', async () => {
    await roe.publish({ name: 'whole', version: '1.0.0' })
    await roe.publish({ name: 'whole', version: '0.9.0', seed: fileSeed('whole') })
    const stored = blobsOf(instance).length
    const { _rev: rev } = await roe.document('whole')
    expect((await roe.send('DELETE', `whole/-rev/${String(rev)}`)).status).toBe(200)
    expect((await anybody.get('whole')).status).toBe(404)
    expect((await anybody.get('whole/-/whole-1.0.0.tgz')).status).toBe(410)
    expect(blobsOf(instance)).toHaveLength(stored - 2)
    expect((await roe.publish({ name: 'whole', version: '1.0.0' })).status).toBe(403)
    expect((await roe.publish({ name: 'whole', version: '1.0.1' })).status).toBe(201)
    const packument = await instance.packument('whole')
    expect(Object.keys(packument.versions)).toEqual(['1.0.1'])
    expect(packument['dist-tags']).toEqual({ latest: '1.0.1' })
  })

  test('dist-tags', async () => {
    await roe.publish({ name: '@roe/tagged', version: '1.0.0' })
    await roe.publish({ name: '@roe/tagged', version: '2.0.0-rc.1', tag: 'next' })
    const path = '-/package/@roe%2ftagged/dist-tags'
    const tags = async () => await (await anybody.get(path)).json()
    expect(await tags()).toEqual({ latest: '1.0.0', next: '2.0.0-rc.1' })
    expect((await roe.send('PUT', `${path}/beta`, '2.0.0-rc.1')).status).toBe(200)
    expect((await roe.send('DELETE', `${path}/next`)).status).toBe(200)
    expect(await tags()).toEqual({ beta: '2.0.0-rc.1', latest: '1.0.0' })
    const packument = await instance.packument('@roe%2ftagged')
    expect(packument['dist-tags']).toEqual({ beta: '2.0.0-rc.1', latest: '1.0.0' })
    expect((await roe.send('PUT', `${path}/beta`, '9.9.9')).status).toBe(404)
    expect((await roe.send('PUT', `${path}/1.x`, '1.0.0')).status).toBe(400)
    expect((await roe.send('DELETE', `${path}/latest`)).status).toBe(403)
    expect((await anybody.send('PUT', `${path}/beta`, '1.0.0')).status).toBe(401)
    expect((await anybody.get('-/package/@roe/tagged/dist-tags')).status).toBe(200)
  })

  test('another owner may publish, and the first one no more', async () => {
    await roe.publish({ name: 'handed', version: '1.0.0' })
    const heir = await Client.named(instance, 'heir')
    expect((await heir.publish({ name: 'handed', version: '1.0.1' })).status).toBe(403)
    const owner = async (users: string[]) => {
      const { _id, _rev } = await roe.document('handed')
      const maintainers = users.map(name => ({ name, email: `${name}@example.org` }))
      return await roe.send('PUT', `handed/-rev/${String(_rev)}`, { _id, _rev, maintainers })
    }
    expect((await owner(['nobody-here'])).status).toBe(400)
    expect((await owner([])).status).toBe(400)
    expect((await owner(['heir'])).status).toBe(200)
    expect((await heir.publish({ name: 'handed', version: '1.0.1' })).status).toBe(201)
    expect((await roe.publish({ name: 'handed', version: '1.0.2' })).status).toBe(403)
  })

  test('what does not live here is not changed here', async () => {
    const answer = await roe.send('PUT', 'alpha', { _id: 'alpha', name: 'alpha', versions: {} })
    expect(answer.status).toBe(403)
    expect((await errorOf(answer)).error).toContain('does not live here')
    expect((await roe.send('PUT', '-/package/alpha/dist-tags/beta', '1.0.0')).status).toBe(403)
  })
})
