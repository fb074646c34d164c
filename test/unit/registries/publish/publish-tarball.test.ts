import { describe, expect, test } from 'bun:test'
import { constants, deflateRawSync } from 'node:zlib'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { differingField } from '../../../../src/registries/publish/publish-manifest.ts'
import { inspectTarball } from '../../../../src/registries/publish/publish-tarball.ts'
import { honestTarball, MANIFEST, PACKAGE, VERSION } from '../../../fixtures/honest-tarball.ts'
import { hostileTarballs } from '../../../fixtures/hostile-tarballs.ts'
import { packTarball } from '../../../fixtures/registry-tarball.ts'
import { gzip, paxEntry, tarball, tarEntry, tarFile } from '../../../fixtures/tar-builder.ts'

const EXPECTED = { name: PACKAGE, version: VERSION, manifest: MANIFEST }
const JSON_TEXT = JSON.stringify(MANIFEST)
const PACKAGE_JSON = tarEntry({ name: 'package/package.json', body: JSON_TEXT })
/** One of them unpacks 300 MB, and another has 80,100 files. */
const MS_MAX = 10_000

async function refusal(bytes: Uint8Array): Promise<RegistryError> {
  try {
    await inspectTarball(bytes, EXPECTED)
  } catch (error) {
    if (error instanceof RegistryError) return error
    throw error
  }
  throw new Error('it was taken')
}

describe('hostile tarballs', () => {
  const names = new Set<string>()
  for (const { name, bytes, says } of hostileTarballs()) {
    test(
      name,
      async () => {
        expect(names.has(name)).toBe(false)
        names.add(name)
        const error = await refusal(bytes)
        expect(error.message).toContain(says)
        expect(error.code).toBe('unprocessable')
        expect(error.message.length).toBeLessThan(300)
        expect(/\p{Cc}/u.test(error.message)).toBe(false)
      },
      MS_MAX,
    )
  }

  test('there are 200 of them', () => {
    expect(names.size).toBeGreaterThanOrEqual(200)
  })
})

describe('honest tarballs', () => {
  test('the simplest', async () => {
    const found = await inspectTarball(honestTarball(), EXPECTED)
    expect(found).toEqual({
      packageJson: MANIFEST,
      fileCount: 2,
      unpackedSize: JSON_TEXT.length + 2,
      readme: null,
      hasShrinkwrap: false,
    })
  })

  test('with a readme and a shrinkwrap', async () => {
    const files = { 'package.json': JSON_TEXT, 'ReadMe.MD': '# hi', 'npm-shrinkwrap.json': '{}' }
    const found = await inspectTarball(packTarball(files), EXPECTED)
    expect(found).toMatchObject({ readme: '# hi', hasShrinkwrap: true, fileCount: 3 })
  })

  const long = `package/${'long/'.repeat(30)}x.js`
  for (const [name, entries] of [
    ['package.json last', [tarEntry({ name: 'package/a.js', body: 'x' }), PACKAGE_JSON]],
    ['GNU magic', [tarEntry({ name: 'package/a', magic: 'ustar  \u0000' }), PACKAGE_JSON]],
    [
      'folders',
      [
        tarEntry({ name: 'package', type: '5' }),
        tarEntry({ name: 'package/lib/', type: '5' }),
        PACKAGE_JSON,
        tarEntry({ name: 'package/lib/a.js' }),
      ],
    ],
    ['a prefix', [PACKAGE_JSON, tarEntry({ name: 'a.js', prefix: 'package/lib' })]],
    ['files of type NUL', [PACKAGE_JSON, tarEntry({ name: 'package/a', type: '\u0000' })]],
    [
      'a long name by GNU',
      [
        PACKAGE_JSON,
        tarEntry({ name: '././@LongLink', type: 'L', body: `${long}\u0000` }),
        tarEntry({ name: long.slice(0, 100) }),
      ],
    ],
    [
      'a long name by pax',
      [
        PACKAGE_JSON,
        paxEntry([
          ['path', long],
          ['size', '1'],
          ['mtime', '1.5'],
        ]),
        tarEntry({ name: long.slice(0, 100), body: 'x' }),
      ],
    ],
    [
      'a name of other letters by pax',
      [PACKAGE_JSON, paxEntry([['path', 'package/\u00fc.js']]), tarEntry({ name: 'package/u.js' })],
    ],
    [
      'attributes of macOS',
      [
        paxEntry([
          ['LIBARCHIVE.xattr.com.apple.provenance', 'AQI'],
          ['SCHILY.dev', '1'],
        ]),
        PACKAGE_JSON,
      ],
    ],
    ["git's comment", [paxEntry([['comment', 'a'.repeat(40)]], 'g'), PACKAGE_JSON]],
    [
      'names that differ in case',
      [PACKAGE_JSON, tarEntry({ name: 'package/a.js' }), tarEntry({ name: 'package/A.js' })],
    ],
    [
      'a package.json of another package below',
      [PACKAGE_JSON, tarEntry({ name: 'package/node_modules/x/package.json', body: '{}' })],
    ],
    [
      'settings of a client without a secret in them',
      [
        PACKAGE_JSON,
        tarEntry({
          name: 'package/.npmrc',
          body: [
            '# //registry.example/:_authToken=npm_abc',
            'registry=https://registry.example/',
            '//registry.example/:_authToken=${NPM_TOKEN}',
            'save-exact=true',
          ].join('\n'),
        }),
      ],
    ],
    [
      'settings of yarn without a secret in them',
      [
        PACKAGE_JSON,
        tarEntry({
          name: 'package/.yarnrc.yml',
          body: 'nodeLinker: node-modules\n# npmAuthToken: x\nnpmAuthToken: "${NPM_TOKEN}"\n',
        }),
      ],
    ],
    ['zeros up to a record of 20 blocks', [PACKAGE_JSON, new Uint8Array(7 * 512)]],
  ] as const) {
    test(name, async () => {
      const found = await inspectTarball(tarball(...entries), EXPECTED)
      expect(found.packageJson).toEqual(MANIFEST)
    })
  }

  test('a file name in the gzip header', async () => {
    const bytes = Buffer.from(gzip(tarFile(PACKAGE_JSON)))
    bytes[3] = 8
    const named = Buffer.concat([bytes.subarray(0, 10), Buffer.from('x.tar\0'), bytes.subarray(10)])
    expect((await inspectTarball(named, EXPECTED)).fileCount).toBe(1)
  })

  test('the reason for a damaged one does not depend on the size that it claims', async () => {
    const zeros = deflateRawSync(new Uint8Array(524_800), { finishFlush: constants.Z_SYNC_FLUSH })
    const header = Buffer.from([31, 139, 8, 0, 0, 0, 0, 0, 0, 3])
    const said = new Set<string>()
    for (const claimed of [0, 1, 1024, 65_536, 523_776, 524_288, 524_800, 4_294_967_295]) {
      const end = Buffer.alloc(9)
      // A block of a type that is none, then a checksum and the size.
      end[0] = 7
      end.writeUInt32LE(claimed, 5)
      said.add((await refusal(Buffer.concat([header, zeros, end]))).message)
    }
    expect([...said]).toEqual([expect.stringContaining('damaged or cut off')])
  })

  test('cut anywhere: refused', async () => {
    const bytes = honestTarball()
    for (let length = 0; length < bytes.length; length++) {
      expect((await refusal(bytes.subarray(0, length))).code).toBe('unprocessable')
    }
  })
})

describe('manifest and package.json', () => {
  const files = new Set(['package.json', 'cli.js', 'bin/a', 'bin/.hidden', 'binding.gyp'])
  const differing = (inside: object, sent: object, found: ReadonlySet<string> = files) =>
    differingField({ name: '@roe/kit', inside: { ...inside }, sent: { ...sent }, files: found })

  for (const [what, inside, sent] of [
    ['bin as text', { bin: './cli.js' }, { bin: { kit: 'cli.js' } }],
    ['bin with its scope (bun)', { bin: './cli.js' }, { bin: { '@roe/kit': 'cli.js' } }],
    ['bin as a list', { bin: ['./a', 'b/c'] }, { bin: { a: 'a', c: 'b/c' } }],
    [
      'bin as a list with things that have no text',
      { bin: [{ toString: 1 }, 'a'] },
      { bin: ['a'] },
    ],
    [
      'bundled, with things that have no text',
      { bundleDependencies: [{ toString: null }, 1], bin: 'a' },
      { bundleDependencies: [1, { toString: null }], bin: './a' },
    ],
    ['bin with things that are none', { bin: { a: 'a', b: 1 } }, { bin: { a: 'a' } }],
    ['bin out of the package', { bin: { a: '../../x' } }, { bin: { a: 'x' } }],
    ['a folder of bins', { directories: { bin: './bin' } }, { bin: { a: 'bin/a' } }],
    [
      'a folder of bins, kept',
      { directories: { bin: 'bin/' } },
      {
        bin: { a: 'bin/a' },
        directories: { bin: './bin' },
      },
    ],
    [
      'bundledDependencies',
      { bundledDependencies: ['b', 'a'] },
      { bundleDependencies: ['a', 'b'] },
    ],
    [
      'bundled: all',
      { dependencies: { a: '1' }, bundleDependencies: true },
      {
        dependencies: { a: '1' },
        bundleDependencies: ['a'],
      },
    ],
    ['bundled: none', { bundleDependencies: false }, {}],
    ['bundled as an object', { bundleDependencies: { a: '1' } }, { bundleDependencies: ['a'] }],
    [
      'optional ones twice',
      { dependencies: { a: '1', b: '1' }, optionalDependencies: { a: '1' } },
      {
        dependencies: { b: '1' },
        optionalDependencies: { a: '1' },
      },
    ],
    ['a repository', { dependencies: { a: 'u/r#v1' } }, { dependencies: { a: 'github:u/r#v1' } }],
    [
      'a repository by URL',
      { dependencies: { a: 'https://github.com/u/r.git' } },
      {
        dependencies: { a: 'git+https://github.com/u/r.git' },
      },
    ],
    ['a range that is none', { dependencies: { a: 1 } }, {}],
    [
      'scripts of a folder',
      { scripts: { install: './node_modules/.bin/x y' } },
      {
        scripts: { install: 'x y' },
      },
    ],
    ['scripts that are none', { scripts: { install: 1 } }, {}],
    ['other scripts', { scripts: { test: 'a' } }, { scripts: { start: 'b' } }],
    ['node-gyp', {}, { scripts: { install: 'node-gyp rebuild' } }],
    ['os as text', { os: 'linux' }, { os: ['linux'] }],
    ['nothing in two ways', { engines: {}, os: [] }, { engines: null }],
    [
      'what nobody installs by',
      { license: 'MIT', devDependencies: { a: '1' } },
      { keywords: ['x'] },
    ],
  ] as const) {
    test(`honest: ${what}`, () => expect(differing(inside, sent)).toBeUndefined())
  }

  for (const [field, inside, sent] of [
    ['dependencies', {}, { dependencies: { a: '1' } }],
    ['dependencies', { dependencies: { a: 'u/r' } }, { dependencies: { a: 'gitlab:u/r' } }],
    ['dependencies', { dependencies: { a: 'u/r#1' } }, { dependencies: { a: 'u/r#2' } }],
    [
      'dependencies',
      { dependencies: { a: '1' }, optionalDependencies: { a: '1' } },
      {
        dependencies: { a: '2' },
      },
    ],
    ['bundleDependencies', { bundleDependencies: ['a'] }, { bundleDependencies: ['b'] }],
    ['bin', {}, { bin: 'cli.js' }],
    ['bin', { bin: 'cli.js' }, { bin: 'other.js' }],
    ['bin', { bin: { kit: 'cli.js' } }, { bin: { node: 'cli.js' } }],
    ['bin', { directories: { bin: 'bin' } }, { bin: { '.hidden': 'bin/.hidden' } }],
    ['scripts.install', {}, { scripts: { install: 'node-gyp rebuild; evil' } }],
    ['scripts.install', { gypfile: false }, { scripts: { install: 'node-gyp rebuild' } }],
    [
      'scripts.install',
      { scripts: { preinstall: 'x' } },
      {
        scripts: { preinstall: 'x', install: 'node-gyp rebuild' },
      },
    ],
    ['scripts.postinstall', {}, { scripts: { postinstall: 'evil' } }],
    ['os', { os: ['linux'] }, {}],
  ] as const) {
    test(`a difference of ${field}: ${JSON.stringify(sent)}`, () => {
      const expected = JSON.stringify(inside).includes('optional') ? 'optionalDependencies' : field
      expect([field, expected]).toContain(differing(inside, sent) ?? '')
    })
  }

  test('node-gyp without a .gyp file is a difference', () => {
    const sent = { scripts: { install: 'node-gyp rebuild' } }
    expect(differing({}, sent, new Set(['deep/binding.gyp']))).toBe('scripts.install')
  })
})
