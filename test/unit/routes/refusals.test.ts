/**
 * Refusals through the front door: what a client is told, and what it must never get.
 * Goal: each way in which a registry can change, forge or drop something, over a whole instance.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { errorOf, FRESH, Instance, NPM, YARN_1 } from '../../fixtures/instance.ts'
import { APP_PACKAGES } from '../../fixtures/registry-app.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import {
  readSignatureVectors,
  readVectorKeys,
  vectorPackages,
} from '../../fixtures/registry-vectors.ts'

/** Checks of one package are at least this far apart (freshness.ts, FORCED_CHECK_MS_MIN). */
const NEXT_CHECK_MS = 1050

let upstream: FixtureRegistry
let instance: Instance

beforeEach(async () => {
  upstream = startFixtureRegistry({ packages: APP_PACKAGES })
  instance = await Instance.start(upstream.url)
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

async function nextPackument(name: string) {
  await Bun.sleep(NEXT_CHECK_MS)
  return await instance.packument(name, FRESH)
}

/** Everything a refused version must and must not show. */
async function expectRefused(name: string, version: string, code: string): Promise<void> {
  const packument = await instance.packument(name)
  const tombstone = packument.versions[version]
  const blocked = `${instance.url}-/blocked/${name}@${version}/${code}`
  expect(tombstone?.dist.tarball).toBe(blocked)
  expect(tombstone?.deprecated).toContain(`${name}@${version} refused by`)
  expect(packument.policyRestrictions?.versions).toHaveProperty([version])
  expect(Object.values(packument['dist-tags'])).not.toContain(version)
  const file = `${name.split('/').at(-1)}-${version}.tgz`
  for (const path of [
    `${name}/${version}`,
    `${name}/-/${file}`,
    `-/blocked/${name}@${version}/${code}`,
  ]) {
    const response = await instance.get(path)
    expect(response.status).toBe(403)
    const body = await errorOf(response)
    expect(body.reason).toBe(code)
    expect(body.error).toContain(`${instance.url}-/why/`)
  }
  const yarn = await instance.packument(name, { 'user-agent': YARN_1 })
  expect(yarn.versions).not.toHaveProperty([version])
}

describe('a version that was swapped after it was logged', () => {
  test('is refused, its siblings are served, and the evidence is kept', async () => {
    const logged = upstream.integrityOf('victim', '1.1.0')
    await instance.packument('victim')
    upstream.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    const packument = await nextPackument('victim')
    await expectRefused('victim', '1.1.0', 'conflict')
    expect(packument.versions['1.1.0']?.dist.integrity).toBe(logged)
    expect(packument.versions['1.0.0']?.dist.tarball).toContain('victim-1.0.0.tgz')
    const why = await instance.get('-/blocked/victim@1.1.0/conflict')
    const evidence = await why.text()
    expect(evidence).toContain(logged)
    expect(evidence).toContain(upstream.integrityOf('victim', '1.1.0'))
    expect(evidence).toContain(upstream.url)
  })

  test('stays refused after a restart with an empty cache', async () => {
    await instance.packument('victim')
    upstream.act({ do: 'swap', name: 'victim', version: '2.0.0' })
    await instance.restart({ wipeCache: true })
    const packument = await instance.packument('victim')
    expect(packument['dist-tags']['latest']).toBe('1.1.0')
    await expectRefused('victim', '2.0.0', 'conflict')
  })

  test('shows its reason as a page to browsers, with everything escaped', async () => {
    await instance.packument('victim')
    upstream.act({ do: 'swap', name: 'victim', version: '1.0.0' })
    await nextPackument('victim')
    const page = await instance.get('-/blocked/victim@1.0.0/conflict', { accept: 'text/html' })
    expect(page.status).toBe(403)
    expect(page.headers.get('content-type')).toContain('text/html')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await page.text()).toContain('victim@1.0.0')
  })

  test('a lookup still answers with what was logged', async () => {
    const logged = upstream.integrityOf('victim', '1.0.0')
    await instance.packument('victim')
    upstream.act({ do: 'swap', name: 'victim', version: '1.0.0' })
    await nextPackument('victim')
    const lookup = await (await instance.get('-/sumdb/lookup/victim@1.0.0')).text()
    expect(lookup).toContain(logged)
    expect(lookup).not.toContain(upstream.integrityOf('victim', '1.0.0'))
  })
})

describe('signatures', () => {
  const FORGERIES = [
    ['other-key', 'bad-signature'],
    ['unknown-key', 'unknown-key'],
    ['bit-flip', 'bad-signature'],
    ['borrowed', 'bad-signature'],
  ] as const
  for (const [how, code] of FORGERIES) {
    test(`a signature forged with ${how} is refused as ${code} and never logged`, async () => {
      upstream.act({ do: 'forge-signature', how, name: 'victim', version: '2.0.0' })
      await expectRefused('victim', '2.0.0', code)
      expect((await instance.get('-/sumdb/lookup/victim@2.0.0')).status).toBe(403)
    })
  }

  test('a version without a signature is refused where the registry signs', async () => {
    upstream.act({ do: 'drop-signatures', name: 'victim', version: '2.0.0' })
    await expectRefused('victim', '2.0.0', 'unsigned')
  })

  test('a logged version whose signature vanishes is served with the logged one', async () => {
    const before = await instance.packument('victim')
    upstream.act({ do: 'drop-signatures', name: 'victim', version: '1.0.0' })
    const after = await nextPackument('victim')
    expect(after.versions['1.0.0']?.dist.signatures).toEqual(
      before.versions['1.0.0']?.dist.signatures,
    )
  })

  test('a registry that drops its keys is not taken on trust', async () => {
    await instance.packument('alpha')
    upstream.act({ do: 'keys', answer: 'missing' })
    await instance.restart({ wipeCache: true })
    upstream.act({ do: 'publish', name: 'victim', spec: { version: '3.0.0', signed: false } })
    const packument = await instance.packument('victim')
    expect(packument.versions['3.0.0']?.dist.tarball).toContain('/-/blocked/')
    expect(packument.versions['2.0.0']?.dist.tarball).toContain('victim-2.0.0.tgz')
  })

  test('a registry whose keys cannot be asked for is not taken for one without keys', async () => {
    upstream.act({ do: 'keys', answer: 'error' })
    const response = await instance.get('victim')
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBeString()
  })

  test('a new key is refused until it is approved', async () => {
    await instance.packument('alpha')
    upstream.act({ do: 'rotate-key' })
    upstream.act({ do: 'publish', name: 'victim', spec: { version: '3.0.0' } })
    await instance.restart({ wipeCache: true })
    await instance.packument('victim')
    await expectRefused('victim', '3.0.0', 'unknown-key')
  })

  test('keys of the registry and our own are served together', async () => {
    await instance.packument('alpha')
    const body: unknown = await (await instance.get('-/npm/v1/keys')).json()
    const upstreamKeys = upstream.state.keys
    expect(body).toMatchObject({ keys: [...upstreamKeys, { keytype: 'ecdsa-sha2-nistp256' }] })
  })
})

test('a version without a sha512 is refused', async () => {
  upstream.act({ do: 'drop-integrity', name: 'victim', version: '2.0.0' })
  await expectRefused('victim', '2.0.0', 'no-integrity')
})

test('a changed manifest of a logged version is never served', async () => {
  await instance.packument('victim')
  const patch = {
    scripts: { install: 'node evil.js' },
    dependencies: { 'evil-dependency': '1.0.0' },
  }
  upstream.act({ do: 'change-manifest', name: 'victim', version: '1.0.0', patch })
  const packument = await nextPackument('victim')
  expect(packument.versions['1.0.0']?.scripts?.['install']).toBeUndefined()
  expect(packument.versions['1.0.0']?.dependencies ?? {}).not.toHaveProperty('evil-dependency')
  expect(packument.versions['1.0.0']?.dist.tarball).toContain('victim-1.0.0.tgz')
  const manifest = await (await instance.get('victim/1.0.0')).text()
  expect(manifest).not.toContain('evil')
})

test('the 130 real signatures are accepted through the front door, the 4 invalid refused', async () => {
  const [valid, invalid, keys] = await Promise.all([
    readSignatureVectors('npm-signatures.json'),
    readSignatureVectors('npm-signatures-invalid.json'),
    readVectorKeys(),
  ])
  const stored = vectorPackages([...valid, ...invalid])
  await using registry = startFixtureRegistry({ stored, keys })
  await using real = await Instance.start(registry.url)
  expect(valid).toHaveLength(130)
  for (const { name, version, integrity } of valid) {
    const packument = await real.packument(name, { 'user-agent': NPM })
    expect(packument.versions[version]?.dist.integrity).toBe(integrity)
    expect(packument.versions[version]?.deprecated ?? '').not.toContain('refused')
  }
  for (const { name, version } of invalid) {
    const packument = await real.packument(name)
    expect(packument.versions[version]?.deprecated).toContain('refused')
  }
})

describe('outages', () => {
  test('the last verified answer is served, marked stale, and a new name is 503', async () => {
    await instance.packument('alpha')
    await upstream.goAway('refuse')
    const stale = await instance.get('alpha', FRESH)
    await Bun.sleep(NEXT_CHECK_MS)
    const later = await instance.get('alpha', FRESH)
    expect(stale.status).toBe(200)
    expect(later.status).toBe(200)
    expect(later.headers.get('warning')).toContain('110')
    const unknown = await instance.get('beta')
    expect(unknown.status).toBe(503)
    expect(unknown.headers.get('retry-after')).toBeString()
  })

  test('a 404 of the registry is not hidden by an older answer', async () => {
    await instance.packument('alpha')
    upstream.act({ do: 'status', path: '/alpha', status: 404 })
    await Bun.sleep(NEXT_CHECK_MS)
    expect((await instance.get('alpha', FRESH)).status).toBe(404)
  })

  test('nor by a check in the background, which nobody waited for', async () => {
    await instance.packument('alpha')
    upstream.act({ do: 'status', path: '/alpha', status: 403 })
    // Just expired (freshness.ts): the old answer is given once more while the check goes on.
    await Bun.sleep(1100)
    expect((await instance.get('alpha')).status).toBe(200)
    await Bun.sleep(1100)
    expect((await instance.get('alpha')).status).toBe(403)
  })

  test('nonsense is never served nor kept, and heals', async () => {
    for (const answer of ['html', 'truncated', 'null', 'array', 'wrong-name', 'empty'] as const) {
      upstream.act({ do: 'nonsense', path: '/gamma', answer })
      const response = await instance.get('gamma')
      expect(response.status).toBe(502)
      expect(await response.text()).toContain('error')
    }
    upstream.act({ do: 'heal' })
    expect((await instance.get('gamma')).status).toBe(200)
  })
})
