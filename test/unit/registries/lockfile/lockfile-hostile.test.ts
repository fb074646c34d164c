/**
 * Lockfiles as somebody with a pull request would write them. No input throws anything but a
 * `LockfileError`, and none gets an entry past the check by being read in two ways.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import {
  LOCKFILE_BYTES_MAX,
  LockfileError,
  readIntegrity,
  type LockfileEntry,
} from '../../../../src/registries/lockfile/lockfile-entry.ts'
import { parseLockfile } from '../../../../src/registries/lockfile/lockfile.ts'

const GOOD = `sha512-${Buffer.alloc(64, 1).toString('base64')}`
const OTHER = `sha512-${Buffer.alloc(64, 2).toString('base64')}`

function parse(name: string, text: string): LockfileEntry[] {
  return parseLockfile(name, Buffer.from(text)).entries
}

function refused(name: string, text: string): LockfileError {
  try {
    parse(name, text)
  } catch (error) {
    if (error instanceof LockfileError) return error
    throw error
  }
  throw new Error('was not refused')
}

function npm3(packages: Record<string, unknown>): string {
  return JSON.stringify({ lockfileVersion: 3, packages: { '': {}, ...packages } })
}

describe('readIntegrity', () => {
  test('takes one SHA-512 and drops weaker hashes and options beside it', () => {
    expect(readIntegrity(GOOD).integrity).toBe(GOOD)
    expect(readIntegrity(`${GOOD}?opt ${GOOD}`).integrity).toBe(GOOD)
    expect(readIntegrity(`sha1-${'A'.repeat(27)}= ${GOOD}`).integrity).toBe(GOOD)
  })

  test('never drops a second or an unknown hash: a client may go by it', () => {
    for (const more of [OTHER, 'sha3-512-AAAA', 'SHA512-AAAA', 'whirlpool-AAAA', 'x']) {
      expect(readIntegrity(`${GOOD} ${more}`).integrity).not.toBe(GOOD)
      expect(readIntegrity(`${more} ${GOOD}`).integrity).not.toBe(GOOD)
    }
  })

  test('keeps a broken SHA-512 as something that equals no record', () => {
    const { integrity } = readIntegrity(GOOD.slice(0, -3))
    expect(integrity).toBe(GOOD.slice(0, -3))
  })

  test('tells SHA-1 from nothing', () => {
    const sha1 = readIntegrity(`sha1-${Buffer.alloc(20, 7).toString('base64')}`)
    expect(sha1).toEqual({
      integrity: null,
      weak: { reason: 'the lockfile holds only a SHA-1', sha1: '07'.repeat(20) },
    })
    expect(readIntegrity('').weak.reason).toBe('the lockfile holds no hash')
    expect(readIntegrity('sha256-AAAA').weak.reason).toBe('the lockfile holds no SHA-512')
  })
})

describe('package-lock.json', () => {
  const pinned = { version: '1.0.0', integrity: GOOD }

  test('refuses a key given twice, with its line', () => {
    const text = `{"lockfileVersion":3,"packages":{\n"node_modules/a":{"version":"1.0.0",
"integrity":"${GOOD}",\n"integrity":"${OTHER}"}}}`
    expect(refused('package-lock.json', text).line).toBe(4)
  })

  test('is strict JSON', () => {
    expect(refused('package-lock.json', '{"lockfileVersion":3,// x\n"packages":{}}').line).toBe(1)
    expect(refused('package-lock.json', '{"lockfileVersion":3,\n"packages":{},}').line).toBe(2)
    expect(refused('package-lock.json', '[]').message).toBe('is not a JSON object')
    expect(refused('package-lock.json', '').message).toStartWith('is not JSON')
  })

  test('refuses versions of the format that it does not know', () => {
    expect(refused('package-lock.json', '{\n"lockfileVersion":4}').line).toBe(2)
    expect(refused('package-lock.json', '{}').message).toContain('lockfileVersion')
  })

  test('nested too deep is refused', () => {
    const deep = `{"lockfileVersion":3,"packages":${'{"a":'.repeat(200_000)}`
    expect(refused('package-lock.json', deep)).toBeInstanceOf(LockfileError)
    const tree = '{"version":"1.0.0","dependencies":{"a":'.repeat(2000)
    const end = '{}'.padEnd(2 + 4000, '}')
    const text = `{"lockfileVersion":1,"dependencies":{"a":${tree}${end}}}`
    expect(refused('package-lock.json', text).message).toBe('is nested too deep')
  })

  test('a "resolved" that nothing asks for does not take an entry out of the check', () => {
    for (const resolved of ['git+ssh://git@git.example/x.git#abc', 'file:evil.tgz', '../evil']) {
      const [entry] = parse(
        'package-lock.json',
        npm3({
          'node_modules/a': { ...pinned, resolved },
          'node_modules/b': { ...pinned, dependencies: { a: '^1.0.0' } },
        }),
      )
      expect(entry).toMatchObject({ kind: 'no-integrity', integrity: null })
      expect(entry?.reason).toContain('which nothing asks for')
    }
  })

  test('a web address counts as a place only where a dependency asks for just that one', () => {
    const resolved = 'https://files.example/a.tgz'
    const entries = (range: string) => {
      return parse(
        'package-lock.json',
        npm3({
          'node_modules/a': { ...pinned, resolved },
          'node_modules/b': { ...pinned, dependencies: { a: range } },
        }),
      )
    }
    expect(entries('^1.0.0')[0]).toMatchObject({ kind: 'registry', integrity: GOOD })
    expect(entries('https://files.example/b.tgz')[0]?.kind).toBe('registry')
    expect(entries(resolved)[0]?.kind).toBe('not-registry')
  })

  test('what says to be bundled is believed only inside another package', () => {
    const bundled = { version: '1.0.0', inBundle: true }
    const entries = parse(
      'package-lock.json',
      npm3({
        'node_modules/a': { ...pinned, inBundle: true },
        'node_modules/b': bundled,
        'node_modules/b/node_modules/c': bundled,
        'node_modules/b/node_modules/d': { ...pinned, inBundle: true },
      }),
    )
    expect(entries.map(entry => entry.kind)).toEqual([
      'registry',
      'no-integrity',
      'not-registry',
      'registry',
    ])
  })

  test('version 2: an entry that only npm 6 would install is read as well', () => {
    const text = JSON.stringify({
      lockfileVersion: 2,
      packages: { '': {}, 'node_modules/a': pinned },
      dependencies: {
        a: pinned,
        b: { version: '1.0.0', integrity: OTHER },
        c: { version: 'npm:a@1.0.0', integrity: OTHER },
      },
    })
    const entries = parse('package-lock.json', text)
    expect(entries.map(entry => [entry.key, entry.name, entry.integrity])).toEqual([
      ['node_modules/a', 'a', GOOD],
      ['b', 'b', OTHER],
      ['c', 'a', OTHER],
    ])
  })

  test('refuses names and versions that no registry has', () => {
    for (const name of ['..', '../../x', 'a/b', '@a', 'a b', 'x\u0000', '@s/..']) {
      const text = npm3({ 'node_modules/a': { ...pinned, name } })
      expect(refused('package-lock.json', text).line).toBe(1)
    }
    for (const version of ['', '../1', '1.0.0\n', '1 2', 'x'.repeat(300)]) {
      const text = npm3({ 'node_modules/a': { ...pinned, version } })
      expect(refused('package-lock.json', text).message).toContain('is not a version')
    }
  })

  test('reads keys that are special to JavaScript', () => {
    const text = `{"lockfileVersion":3,"packages":{"node_modules/constructor":
{"version":"1.0.0","integrity":"${GOOD}"}}}`
    expect(parse('package-lock.json', text)[0]).toMatchObject({ name: 'constructor', line: 2 })
    // No package can be called so, and it must not vanish.
    const proto = text.replace('constructor', '__proto__')
    expect(refused('package-lock.json', proto)).toBeInstanceOf(LockfileError)
  })
})

describe('pnpm-lock.yaml', () => {
  const head = "lockfileVersion: '9.0'\n\npackages:\n\n"

  test('refuses YAML aliases, tabs and keys given twice', () => {
    const alias = `${head}  a@1.0.0: &x\n    resolution: {integrity: ${GOOD}}\n\n  b@1.0.0: *x\n`
    expect(refused('pnpm-lock.yaml', alias)).toMatchObject({
      message: 'holds a YAML alias',
      line: 8,
    })
    const entry = `  a@1.0.0:\n    resolution: {integrity: ${GOOD}}\n`
    expect(refused('pnpm-lock.yaml', head + entry + entry).line).toBe(7)
    expect(refused('pnpm-lock.yaml', `${head}\ta: b\n`).message).toStartWith('is not YAML')
  })

  test('nested too deep is refused', () => {
    const text = `${head}  a@1.0.0: ${'['.repeat(100_000)}`
    expect(refused('pnpm-lock.yaml', text)).toBeInstanceOf(LockfileError)
  })

  test('a registry key with a resolution of git or a folder is not taken on its word', () => {
    for (const resolution of [
      '{type: git, repo: x, commit: y}',
      '{directory: x, type: directory}',
    ]) {
      const [entry] = parse('pnpm-lock.yaml', `${head}  a@1.0.0:\n    resolution: ${resolution}\n`)
      expect(entry).toMatchObject({ kind: 'no-integrity', name: 'a' })
      expect(entry?.reason).toContain('which its key does not say')
    }
  })

  test('a tarball from elsewhere still has its hash compared', () => {
    const resolution = `{integrity: ${GOOD}, tarball: https://files.example/a.tgz}`
    const [entry] = parse('pnpm-lock.yaml', `${head}  a@1.0.0:\n    resolution: ${resolution}\n`)
    expect(entry).toMatchObject({ kind: 'registry', integrity: GOOD })
  })

  test('reads all documents of a file', () => {
    const one = (name: string) => `${head}  ${name}@1.0.0:\n    resolution: {integrity: ${GOOD}}\n`
    const entries = parse('pnpm-lock.yaml', `${one('a')}---\n${one('b')}`)
    expect(entries.map(entry => [entry.name, entry.line])).toEqual([
      ['a', 6],
      ['b', 13],
    ])
  })

  test('keeps the zeros of a version', () => {
    const entry = `  /a/5.10.0:\n    resolution: {integrity: ${GOOD}}\n`
    const text = `lockfileVersion: 5.4\npackages:\n${entry}`
    expect(parse('pnpm-lock.yaml', text)[0]?.version).toBe('5.10.0')
  })

  test('reads a registry in front of the path', () => {
    const text = (version: string, key: string) =>
      `lockfileVersion: '${version}'\npackages:\n  ${key}:\n    resolution: {integrity: ${GOOD}}\n`
    for (const [version, key] of [
      ['5.4', 'registry.example/@s/a/1.0.0_b@2.0.0'],
      ['6.0', 'registry.example/@s/a@1.0.0(b@2.0.0)'],
    ] as const) {
      expect(parse('pnpm-lock.yaml', text(version, key))[0]).toMatchObject({
        name: '@s/a',
        version: '1.0.0',
        kind: 'registry',
      })
    }
  })

  test('an empty project has no entries', () => {
    expect(parse('pnpm-lock.yaml', "lockfileVersion: '9.0'\n\nimporters:\n  .: {}\n")).toBeEmpty()
    expect(refused('pnpm-lock.yaml', '').line).toBe(1)
    expect(refused('pnpm-lock.yaml', 'lockfileVersion: 4.0\n').message).toContain('"4.0"')
  })
})

describe('yarn.lock', () => {
  const head = '# yarn lockfile v1\n\n\n'
  const body = `  version "1.0.0"\n  integrity ${GOOD}\n`

  test('refuses entries and fields given twice: which one counts is nobody’s guess', () => {
    expect(refused('yarn.lock', `${head}a@^1:\n${body}\na@^1:\n${body}`).line).toBe(8)
    expect(refused('yarn.lock', `${head}a@^1:\n${body}  integrity ${OTHER}\n`).line).toBe(7)
    const entry = '"a@npm:1":\n  version: 1.0.0\n  resolution: "a@npm:1.0.0"\n'
    const berry = `__metadata:\n  version: 8\n\n${entry}`
    expect(refused('yarn.lock', `${berry}  resolution: "b@npm:1.0.0"\n`).line).toBe(7)
    expect(refused('yarn.lock', `${berry}\n"a@npm:1":\n  resolution: "b@npm:1"\n`).line).toBe(8)
  })

  test('refuses an entry that the parser drops, and forms that yarn does not write', () => {
    expect(refused('yarn.lock', `${head}__proto__:\n${body}`).line).toBe(4)
    expect(refused('yarn.lock', '__metadata: {version: 8}\n')).toBeInstanceOf(LockfileError)
    expect(refused('yarn.lock', '')).toBeInstanceOf(LockfileError)
    const flow = '{__metadata: {version: 8}, "a@npm:1": {resolution: "a@npm:1.0.0"}}\n'
    expect(refused('yarn.lock', flow)).toBeInstanceOf(LockfileError)
  })

  test('an alias and the package itself in one entry are one package', () => {
    const entries = parse('yarn.lock', `${head}a@^1, "b@npm:a@^1":\n${body}`)
    expect(entries.map(entry => [entry.name, entry.line])).toEqual([['a', 6]])
  })

  test('two names in one entry are both checked', () => {
    const entries = parse('yarn.lock', `${head}a@^1, b@^1, "c@npm:d":\n${body}`)
    expect(entries.map(entry => entry.name)).toEqual(['a', 'b', 'd'])
  })

  test('a place in "resolved" behind a registry range is not taken on its word', () => {
    const text = `${head}a@^1:\n${body}  resolved "git+https://git.example/a.git#abc"\n`
    expect(parse('yarn.lock', text)[0]).toMatchObject({ kind: 'no-integrity', name: 'a' })
  })

  test('a hash of SHA-1 alone is told', () => {
    const sha1 = 'ab'.repeat(20)
    const resolved = `https://registry.example/a.tgz#${sha1}`
    const text = `${head}a@:\n  version "1.0.0"\n  resolved "${resolved}"\n`
    expect(parse('yarn.lock', text)[0]).toMatchObject({ kind: 'no-integrity', sha1, line: 4 })
  })

  test('berry: the archive that the file names is told; long keys are read', () => {
    const key = Array.from({ length: 200 }, (_, at) => `abc@npm:^1.0.${at}`).join(', ')
    const parameters = `::__archiveUrl=${encodeURIComponent('https://files.example/a.tgz')}`
    const text = `__metadata:\n  version: 8\n\n? "${key}"\n:\n  version: 1.0.0
  resolution: "abc@npm:1.0.0${parameters}"\n`
    expect(parse('yarn.lock', text)[0]).toMatchObject({
      name: 'abc',
      version: '1.0.0',
      key,
      line: 4,
      archive: 'https://files.example/a.tgz',
    })
  })
})

describe('bun.lock', () => {
  const text = (packages: string) => `{"lockfileVersion": 2, "packages": {\n${packages},\n}}`

  test('refuses what names no package or no registry', () => {
    expect(refused('bun.lock', text('"a": []')).line).toBe(2)
    expect(refused('bun.lock', text('"a": "a@1.0.0"')).line).toBe(2)
    expect(refused('bun.lock', text(`"a": ["a@1.0.0", {}, "${GOOD}"]`)).message).toContain(
      'names no registry',
    )
    expect(refused('bun.lock', '{"lockfileVersion": 3}').line).toBe(1)
  })

  test('what says to be bundled is believed only inside another package', () => {
    const entry = (key: string) => `"${key}": ["x@1.0.0", "", {"bundled": true}, "${GOOD}"]`
    const kinds = ['x', '@s/x', 'a/x', '@s/a/x'].map(key => {
      return parse('bun.lock', text(entry(key)))[0]?.kind
    })
    expect(kinds).toEqual(['registry', 'registry', 'not-registry', 'not-registry'])
  })
})

describe('any file', () => {
  test('is refused when it is too long, not UTF-8, binary or unknown', () => {
    expect(() => parseLockfile('bun.lock', new Uint8Array(LOCKFILE_BYTES_MAX + 1))).toThrow(
      LockfileError,
    )
    expect(() => parseLockfile('yarn.lock', Uint8Array.of(0xff))).toThrow('is not UTF-8')
    expect(refused('bun.lockb', '').message).toContain('is binary')
    expect(refused('Cargo.lock', '[[package]]\n').message).toContain('no lockfile')
  })

  test('may begin with a byte order mark', () => {
    expect(parse('package-lock.json', `\uFEFF${npm3({})}`)).toBeEmpty()
  })
})
