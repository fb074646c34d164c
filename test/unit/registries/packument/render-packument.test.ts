/**
 * Rendering: byte for byte where nothing is to change, and each change alone where something is.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import type { Refused, RenderPlan, Variant } from '../../../../src/registries/packument/render.ts'
import {
  renderManifest,
  renderPackument,
} from '../../../../src/registries/packument/render-packument.ts'
import { dropping, full, own, refuse, rendered, renderedValue, short } from '../rendering.ts'
import { encode, makeDist, makeKey, makePackument, makePlan } from '../vectors.ts'

const versions = ['1.0.0', '1.1.0', '2.0.0-rc.1', '2.0.0']
const packument = makePackument('pkg', versions, [makeKey()])
const everything = makePlan(versions)

/** The plan that refuses these versions and serves the others. */
function refusing(...refused: Refused[]): RenderPlan {
  const names = new Set(refused.map(({ version }) => version))
  return makePlan(
    versions.filter(version => !names.has(version)),
    { refused },
  )
}

describe('the full form', () => {
  const odd =
    '\n{ "_id":"pkg", "name" : "pkg","big":9007199254740993,"huge":1e400,"deep":{"a":{"a":1,"a":2}},' +
    '"__proto__":{"x":1},"readme":"\\ud800 \\u0041 é", "versions": { "1.0.0" :\t{"name":"pkg",' +
    '"version":"1.0.0","unknown":[1.50,-0],"dist" : { "tarball" :' +
    '"https://registry.example/pkg/-/pkg-1.0.0.tgz","x":1E2 }} }, "time":{} }\n'

  test('is what came, byte for byte, when nothing is to change', () => {
    expect(rendered(odd, makePlan(['1.0.0']))).toBe(odd)
    expect(rendered(packument, everything)).toBe(JSON.stringify(packument))
    const unpublished = '{"name":"pkg","time":{"unpublished":{"name":"x"}}}'
    expect(rendered(unpublished, everything)).toBe(unpublished)
  })

  test('changes the tarball URLs alone when they are to be ours', () => {
    const theirs = 'https://registry.example/pkg/-/'
    const ours = 'http://127.0.0.1:6769/pkg/-/'
    expect(rendered(odd, makePlan(['1.0.0']), own)).toBe(odd.replaceAll(theirs, ours))
    expect(rendered(packument, makePlan(versions, { canonicalOrigin: null }))).toBe(
      JSON.stringify(packument).replaceAll(theirs, ours),
    )
  })

  test.each([
    'https://registry.example.evil.example/pkg/-/pkg-1.0.0.tgz',
    'https://registry.example:444/pkg/-/pkg-1.0.0.tgz',
    'http://registry.example/pkg/-/pkg-1.0.0.tgz',
    'https://registry.example@evil.example/pkg-1.0.0.tgz',
    'https://registry.example\\@evil.example/pkg-1.0.0.tgz',
    'https://registry.example/\\..\\evil.tgz',
    'https://registry.example/pkg/-/pkg 1.0.0.tgz',
    ' https://registry.example/pkg/-/pkg-1.0.0.tgz',
    'HTTPS://registry.example/pkg/-/pkg-1.0.0.tgz',
    '',
    1,
  ])('makes %j ours', tarball => {
    const source = makePackument('pkg', ['1.0.0'], [])
    source.versions['1.0.0'] = { name: 'pkg', dist: { tarball } }
    const out = renderedValue(source, makePlan(['1.0.0']))
    expect(out.versions['1.0.0'].dist.tarball).toBe('http://127.0.0.1:6769/pkg/-/pkg-1.0.0.tgz')
  })

  test('uses the file of the plan, the name with its scope, and the prefix of the public URL', () => {
    const source = makePackument('@s/pkg', ['1.0.0'], [])
    const plan = makePlan([], { base: 'https://r.example/npm/', files: [['1.0.0', 'odd.tgz']] })
    const out = renderedValue(source, plan, own)
    expect(out.versions['1.0.0'].dist.tarball).toBe('https://r.example/npm/@s/pkg/-/odd.tgz')
  })

  test('has no stagedVersions: nobody inspected them', () => {
    const source = { ...packument, stagedVersions: { versions: { '9.0.0': {} } } }
    expect(rendered(source, everything)).toBe(JSON.stringify(packument))
  })

  test('is an error when a version was never inspected', () => {
    for (const variant of [full, own, short, dropping]) {
      expect(() => rendered(packument, makePlan(versions.slice(1)), variant)).toThrow(
        'not inspected',
      )
    }
  })
})

describe('refused versions', () => {
  test('become tombstones, and nothing else of them or of the others changes', () => {
    const refused = refuse('1.1.0')
    const out = renderedValue(packument, refusing(refused))
    const { policyRestrictions, ...rest } = out
    const dist = { ...packument.versions['1.1.0']?.dist, tarball: refused.url }
    const tombstone = {
      ...packument.versions['1.1.0'],
      deprecated: refused.sentence,
      dist: { ...dist, integrity: refused.integrity },
    }
    expect(rest).toEqual({
      ...packument,
      versions: { ...packument.versions, '1.1.0': tombstone },
    })
    expect(policyRestrictions).toEqual({
      message: refused.sentence,
      versions: {
        '1.1.0': {
          name: 'pkg',
          version: '1.1.0',
          deprecated: refused.sentence,
          dist: { tarball: refused.url, integrity: refused.integrity },
        },
      },
    })
  })

  test('keep the integrity that came when there is no other', () => {
    const out = renderedValue(packument, refusing(refuse('1.1.0', { integrity: null })))
    expect(out.versions['1.1.0'].dist.integrity).toBe(makeDist('pkg', '1.1.0', []).integrity)
  })

  test('take the tags with them', () => {
    expect(renderedValue(packument, refusing(refuse('2.0.0')))['dist-tags']).toEqual({
      latest: '1.1.0',
    })
    const tagged = { ...packument, 'dist-tags': { old: '1.0.0', latest: '2.0.0', gone: '0.9.0' } }
    const out = rendered(tagged, refusing(refuse('2.0.0')))
    expect(out).toContain('"dist-tags":{"old":"1.0.0","latest":"1.1.0","gone":"1.1.0"}')
  })

  test('are dropped for yarn 1, with their times and without restrictions', () => {
    const out = renderedValue(packument, refusing(refuse('2.0.0')), dropping)
    const { '2.0.0': _, ...left } = packument.versions
    const { '2.0.0': __, ...times } = packument.time
    expect(out).toEqual({
      // What yarn 1 prints when nothing fits the range: the only place for the reason.
      'name': `pkg (${refuse('2.0.0').sentence})`,
      'dist-tags': { latest: '1.1.0' },
      'versions': left,
      'time': times,
    })
  })

  test('may be all there is', () => {
    const all = refusing(...versions.map(version => refuse(version)))
    expect(renderedValue(packument, all)['dist-tags']).toEqual({ latest: '2.0.0' })
    const none = renderedValue(packument, all, dropping)
    expect(none).toMatchObject({ 'versions': {}, 'dist-tags': {} })
  })

  test('give nothing of themselves when they contradict themselves', () => {
    for (const entry of [
      '1',
      'null',
      '[]',
      '{"name":"evil"}',
      '{"dist":1}',
      '{"dist":{},"dist":{}}',
    ]) {
      const source = `{"name":"pkg","versions":{"1.0.0":${entry}}}`
      const refused = refuse('1.0.0', { code: 'invalid', integrity: null })
      const plan = makePlan([], { refused: [refused] })
      for (const variant of [full, short]) {
        expect(renderedValue(source, plan, variant).versions).toEqual({
          '1.0.0': {
            name: 'pkg',
            version: '1.0.0',
            deprecated: refused.sentence,
            dist: { tarball: refused.url },
          },
        })
      }
    }
  })

  test('are dropped where no client could ask for them', () => {
    const source = '{"name":"pkg","versions":{"":1,"__proto__":1," ":1},"time":{" ":"x"}}'
    const refused = ['', '__proto__', ' '].map(version => refuse(version, { code: 'invalid' }))
    expect(rendered(source, makePlan([], { refused }))).toBe(
      '{"name":"pkg","versions":{},"time":{}}',
    )
  })

  test('share one message of ten sentences, the newest first', () => {
    const many = Array.from({ length: 12 }, (_, i) => `1.0.${i}`)
    const plan = makePlan([], { refused: many.map(version => refuse(version)) })
    const lines = renderedValue(
      makePackument('pkg', many, []),
      plan,
    ).policyRestrictions.message.split('\n')
    expect(lines).toHaveLength(11)
    expect(lines[0]).toStartWith('pkg@1.0.11 refused')
    expect(lines[10]).toBe('and 2 more')
  })

  test('stand beside the restrictions of the upstream', () => {
    const theirs = { message: 'their reason', versions: { '0.1.0': { name: 'pkg' } } }
    const source = { ...packument, policyRestrictions: theirs }
    expect(rendered(source, everything)).toBe(JSON.stringify(source))
    const out = renderedValue(source, refusing(refuse('1.1.0'))).policyRestrictions
    expect(Object.keys(out.versions)).toEqual(['0.1.0', '1.1.0'])
    expect(out.message).toEndWith('\ntheir reason')
  })

  test('need not be in the document', () => {
    const plan = { ...everything, refused: [refuse('9.9.9')] }
    expect(rendered(packument, plan)).toBe(JSON.stringify(packument))
  })
})

describe('the abbreviated form', () => {
  const manifest = {
    name: 'pkg',
    version: '1.0.0',
    description: 'x',
    deprecated: 'old',
    dependencies: {},
    acceptDependencies: {},
    optionalDependencies: {},
    devDependencies: {},
    bundleDependencies: [],
    bundledDependencies: [],
    peerDependencies: {},
    peerDependenciesMeta: {},
    bin: {},
    directories: {},
    engines: {},
    os: [],
    cpu: [],
    libc: [],
    funding: 'x',
    _hasShrinkwrap: false,
    _npmUser: { name: 'x', trustedPublisher: { id: 'y' } },
    scripts: { test: 'x' },
    readme: 'x',
    _id: 'x',
    dist: makeDist('pkg', '1.0.0', []),
  }
  const source = {
    '_id': 'pkg',
    '_rev': '1',
    'name': 'pkg',
    'dist-tags': { latest: '1.0.0' },
    'versions': { '1.0.0': manifest },
    'time': { 'created': 'c', 'modified': 'm', '1.0.0': 't' },
    'readme': 'x',
    'users': {},
  }
  const plan = makePlan(['1.0.0'])

  test('has the fields of the documentation and those that clients read besides', () => {
    const { description: _, scripts: __, readme: ___, _id: ____, ...left } = manifest
    expect(renderedValue(source, plan, short)).toEqual({
      'name': 'pkg',
      'dist-tags': source['dist-tags'],
      'versions': { '1.0.0': left },
      'time': source.time,
      'modified': 'm',
    })
  })

  test.each(['preinstall', 'install', 'postinstall'])('tells of %s scripts', script => {
    const versionsWith = {
      '1.0.0': { ...manifest, scripts: { [script]: 'x' }, hasInstallScript: false },
    }
    const out = renderedValue({ ...source, versions: versionsWith }, plan, short)
    expect(out.versions['1.0.0']).toMatchObject({ hasInstallScript: true })
  })

  test('of a document that is abbreviated already is that document', () => {
    const already = {
      'name': 'pkg',
      'dist-tags': { latest: '1.0.0' },
      'modified': 'm',
      'versions': {
        '1.0.0': { name: 'pkg', version: '1.0.0', hasInstallScript: true, dist: manifest.dist },
      },
    }
    expect(rendered(already, plan, short)).toBe(JSON.stringify(already))
    expect(rendered(already, plan, full)).toBe(JSON.stringify(already))
  })

  test('has tombstones and restrictions as well', () => {
    const out = renderedValue(source, makePlan([], { refused: [refuse('1.0.0')] }), short)
    expect(out.versions['1.0.0']).toMatchObject({
      deprecated: refuse('1.0.0').sentence,
      dist: { tarball: refuse('1.0.0').url },
    })
    expect(Object.keys(out.policyRestrictions.versions)).toEqual(['1.0.0'])
  })
})

describe('renderManifest()', () => {
  function manifest(plan: RenderPlan, selector: string, tarballs: Variant['tarballs'] = 'as-came') {
    const out = renderManifest(encode(packument), plan, tarballs, selector)
    return out === null ? null : JSON.parse(Buffer.from(out).toString())
  }

  test('gives the manifest of a version or of a tag', () => {
    expect(manifest(everything, '1.0.0')).toEqual(packument.versions['1.0.0'])
    expect(manifest(everything, 'latest')).toEqual(packument.versions['2.0.0'])
    expect(manifest(everything, '1.0.0', 'own').dist.tarball).toStartWith('http://127.0.0.1:6769/')
    for (const absent of ['9.9.9', 'next', '__proto__', 'constructor', '']) {
      expect(manifest(everything, absent)).toBeNull()
    }
  })

  test('gives a tombstone for a refused version, and the moved tag', () => {
    const plan = refusing(refuse('2.0.0'))
    expect(manifest(plan, '2.0.0').dist.tarball).toBe(refuse('2.0.0').url)
    expect(manifest(plan, 'latest').version).toBe('1.1.0')
  })
})

describe('renderPackument()', () => {
  test('gives gzip, length and a strong ETag of the same bytes', async () => {
    const packed = await renderPackument(encode(packument), everything, own)
    const expected = rendered(packument, everything, own)
    expect(gunzipSync(packed.gzip).toString()).toBe(expected)
    expect(packed.length).toBe(Buffer.byteLength(expected))
    const hash = createHash('sha256').update(expected).digest('base64url')
    expect(packed.etag).toBe(`"${hash}"`)
    const again = await renderPackument(encode(packument), everything, own)
    expect(Buffer.from(again.gzip).equals(packed.gzip)).toBe(true)
  })

  test('loses nothing of a large document', async () => {
    const large = JSON.stringify({ ...packument, readme: 'é\\'.repeat(1024 * 1024) })
    const packed = await renderPackument(encode(large), everything, full)
    expect(packed.length).toBe(Buffer.byteLength(large))
    expect(gunzipSync(packed.gzip).toString() === large).toBe(true)
  })

  test('fails when rendering fails', async () => {
    const failing = renderPackument(encode(packument), makePlan([]), full)
    await expect(failing).rejects.toMatchObject({ code: 'internal' })
  })
})
