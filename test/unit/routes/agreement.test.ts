/**
 * Sources that disagree, and mirrors in place of a registry that is gone, through the front door.
 * Goal: nobody installs what sources disagree about, no mirror can stop a package by lying, and what
 * a mirror shows alone is proven or left out.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { errorOf, FRESH, type Instance } from '../../fixtures/instance.ts'
import { placeOf, serverOf, serverOnce, startMirrored } from '../../fixtures/mirrored.ts'
import { until } from '../../fixtures/patience.ts'

const NEXT_CHECK_MS = 1050

let cleanup: AsyncDisposableStack
beforeEach(() => {
  cleanup = new AsyncDisposableStack()
})
afterEach(() => cleanup.disposeAsync())

/** Asks until what the mirrors said has taken effect; the comparison may end after the answer. */
async function untilCompared(instance: Instance, name: string, version: string): Promise<string> {
  let tarball = ''
  await until(async () => {
    const { versions } = await instance.packument(name)
    tarball = versions[version]?.dist.tarball ?? ''
    return tarball.includes('/-/blocked/')
  })
  return tarball
}

describe('agreement', () => {
  const VICTIM = {
    name: 'victim',
    versions: [{ version: '1.0.0' }, { version: '1.1.0' }],
  }

  test('other bytes with a valid signature refuse the version, with both sides as evidence', async () => {
    const { mirrors, registry, instance } = await startMirrored(cleanup, { packages: [VICTIM] }, 2)
    mirrors[0]?.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    await untilCompared(instance, 'victim', '1.1.0')
    const packument = await instance.packument('victim')
    expect(packument.versions['1.1.0']?.dist.tarball).toBe(
      `${instance.url}-/blocked/victim@1.1.0/conflict`,
    )
    expect(packument['dist-tags']['latest']).toBe('1.0.0')
    expect(packument.versions['1.0.0']?.dist.tarball).toContain('victim-1.0.0.tgz')
    const response = await instance.get('victim/-/victim-1.1.0.tgz')
    expect(response.status).toBe(403)
    expect((await errorOf(response)).reason).toBe('conflict')
    const why = await (await instance.get('-/blocked/victim@1.1.0/conflict')).text()
    for (const source of [registry, mirrors[0]]) {
      expect(why).toContain(source?.integrityOf('victim', '1.1.0') ?? '-')
      expect(why).toContain(source?.url ?? '-')
      const signatures = source?.state.packages.get('victim')?.versions.get('1.1.0')?.signatures
      expect(why).toContain(signatures?.[0]?.sig ?? '-')
    }
    expect(why).toContain('"record":{"index":')
  })

  test('it stays refused: later checks, restarts and an empty cache change nothing', async () => {
    const { mirrors, instance } = await startMirrored(cleanup, { packages: [VICTIM] }, 1)
    mirrors[0]?.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    const before = await untilCompared(instance, 'victim', '1.1.0')
    await mirrors[0]?.goAway('refuse')
    await Bun.sleep(NEXT_CHECK_MS)
    await instance.packument('victim', FRESH)
    const text = await (await instance.get('victim')).text()
    expect(text).toContain(before)
    await instance.restart({ wipeCache: true })
    expect(await (await instance.get('victim')).text()).toBe(text)
    expect((await instance.get('victim/1.1.0')).status).toBe(403)
    expect((await instance.get('-/sumdb/lookup/victim@1.1.0')).status).toBe(200)
  })

  test('a mirror that is slow holds nothing up, and its word counts when it comes', async () => {
    const { mirrors, instance } = await startMirrored(cleanup, { packages: [VICTIM] }, 2)
    mirrors[1]?.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    mirrors[1]?.act({ do: 'delay', path: '/victim', ms: 3_000 })
    const started = performance.now()
    const first = await instance.packument('victim')
    expect(performance.now() - started).toBeLessThan(700)
    expect(first.versions['1.1.0']?.dist.tarball).toContain('victim-1.1.0.tgz')
    expect(await untilCompared(instance, 'victim', '1.1.0')).toContain('/-/blocked/')
    expect((await instance.get('victim/-/victim-1.1.0.tgz')).status).toBe(403)
  })

  test.each(['other-key', 'unknown-key', 'bit-flip', 'borrowed'] as const)(
    'other bytes with a forged signature (%s) are a bad mirror: the version is served',
    async how => {
      const { mirrors, registry, instance } = await startMirrored(
        cleanup,
        { packages: [VICTIM] },
        1,
      )
      mirrors[0]?.act({ do: 'swap', name: 'victim', version: '1.1.0' })
      mirrors[0]?.act({ do: 'forge-signature', how, name: 'victim', version: '1.1.0' })
      const { versions } = await instance.packument('victim')
      expect(versions['1.1.0']?.dist.tarball).toContain('victim-1.1.0.tgz')
      expect(await serverOnce(registry.url, instance, 'victim', '1.1.0')).toBe(registry.url)
      expect(serverOf(await placeOf(instance, 'victim', '1.0.0'))).toBe(registry.url)
      await instance.restart()
      expect(serverOf(await placeOf(instance, 'victim', '1.1.0'))).toBe(registry.url)
    },
  )

  test('unsigned other bytes are a bad mirror where the registry signs', async () => {
    const { mirrors, registry, instance } = await startMirrored(cleanup, { packages: [VICTIM] }, 1)
    mirrors[0]?.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    mirrors[0]?.act({ do: 'drop-signatures', name: 'victim', version: '1.1.0' })
    const { versions } = await instance.packument('victim')
    expect(versions['1.1.0']?.dist.tarball).toContain('victim-1.1.0.tgz')
    expect(await serverOnce(registry.url, instance, 'victim', '1.1.0')).toBe(registry.url)
  })

  test('where the registry does not sign, any other bytes are a conflict', async () => {
    const { mirrors, instance } = await startMirrored(
      cleanup,
      { packages: [VICTIM], keys: [] },
      1,
      [],
    )
    for (const mirror of mirrors) mirror.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    expect(await untilCompared(instance, 'victim', '1.1.0')).toContain('/-/blocked/')
    const { versions } = await instance.packument('victim')
    expect(versions['1.0.0']?.dist.tarball).toContain('victim-1.0.0.tgz')
  })

  test('a mirror that gave no answer is no reason to wait nor to refuse', async () => {
    const { mirrors, instance } = await startMirrored(cleanup, { packages: [VICTIM] }, 3)
    await mirrors[0]?.goAway('black-hole')
    mirrors[1]?.act({ do: 'nonsense', path: '/victim', answer: 'html' })
    mirrors[2]?.act({ do: 'status', path: '/victim', status: 404 })
    const started = performance.now()
    const { versions } = await instance.packument('victim')
    expect(performance.now() - started).toBeLessThan(1_000)
    expect(versions['1.1.0']?.dist.tarball).toContain('victim-1.1.0.tgz')
  })
})

describe('a registry that cannot be asked', () => {
  const PLAIN = { name: 'plain', versions: [{ version: '1.0.0' }, { version: '1.1.0' }] }
  const OTHER = { name: 'other', versions: [{ version: '1.0.0' }] }

  test('a mirror shows what is in the log, in the very bytes of the registry', async () => {
    const { registry, instance } = await startMirrored(cleanup, { packages: [PLAIN, OTHER] }, 1)
    const before = await (await instance.get('plain')).text()
    await registry.goAway('refuse')
    await instance.restart({ wipeCache: true })
    const after = await instance.get('plain')
    expect(after.status).toBe(200)
    expect(await after.text()).toBe(before)
    registry.comeBack()
  })

  test('a mirror that adds a script, a dependency or versions is not believed', async () => {
    const { registry, mirrors, instance } = await startMirrored(cleanup, { packages: [PLAIN] }, 1)
    await instance.packument('plain')
    const [mirror] = mirrors
    const patch = { scripts: { install: 'node evil.js' }, dependencies: { evil: '1.0.0' } }
    mirror?.act({ do: 'change-manifest', name: 'plain', version: '1.0.0', patch })
    mirror?.act({ do: 'publish', name: 'plain', spec: { version: '9.0.0', signed: false } })
    // Signed by the registry's own key, but its manifest is not that of its bytes.
    mirror?.act({ do: 'publish', name: 'plain', spec: { version: '2.0.0' } })
    mirror?.act({ do: 'change-manifest', name: 'plain', version: '2.0.0', patch })
    mirror?.act({ do: 'swap', name: 'plain', version: '1.1.0' })
    await registry.goAway('refuse')
    await instance.restart({ wipeCache: true })
    const text = await (await instance.get('plain')).text()
    expect(text).not.toContain('evil')
    const { versions, ...rest } = await instance.packument('plain')
    expect(Object.keys(versions)).toEqual(['1.0.0'])
    expect(rest['dist-tags']['latest']).toBe('1.0.0')
    expect((await instance.get('-/sumdb/lookup/plain@9.0.0')).status).toBeGreaterThanOrEqual(400)
    registry.comeBack()
    await Bun.sleep(NEXT_CHECK_MS * 5)
    const after = await instance.packument('plain', FRESH)
    expect(Object.keys(after.versions)).toEqual(['1.0.0', '1.1.0'])
  }, 30_000)

  test('a new version whose signature and bytes bear it out is recorded and served', async () => {
    const { registry, mirrors, instance } = await startMirrored(
      cleanup,
      { packages: [PLAIN, OTHER] },
      1,
    )
    await instance.packument('other')
    await registry.goAway('refuse')
    const { versions } = await instance.packument('plain')
    expect(Object.keys(versions)).toEqual(['1.0.0', '1.1.0'])
    const lookup = await instance.get('-/sumdb/lookup/plain@1.1.0')
    expect(await lookup.text()).toContain(mirrors[0]?.integrityOf('plain', '1.1.0') ?? '-')
    expect(serverOf(await placeOf(instance, 'plain', '1.1.0'))).toBe(mirrors[0]?.url ?? '')
  })

  test('a mirror without the package says nothing: 503, not 404', async () => {
    const { registry, mirrors, instance } = await startMirrored(
      cleanup,
      { packages: [PLAIN, OTHER] },
      1,
    )
    await instance.packument('other')
    mirrors[0]?.state.packages.delete('plain')
    await registry.goAway('refuse')
    expect((await instance.get('plain')).status).toBe(503)
  })

  test('nothing of a mirror is taken for a registry that was never heard', async () => {
    const { registry, instance } = await startMirrored(cleanup, { packages: [PLAIN] }, 1)
    await registry.goAway('refuse')
    expect((await instance.get('plain')).status).toBe(503)
  })

  test('a 404 of the registry is not hidden by a mirror', async () => {
    const { registry, instance } = await startMirrored(cleanup, { packages: [PLAIN] }, 1)
    registry.state.packages.delete('plain')
    expect((await instance.get('plain')).status).toBe(404)
  })
})
