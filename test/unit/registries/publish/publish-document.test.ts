import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { createHash, randomFillSync } from 'node:crypto'
import { RegistryError } from '../../../../src/registries/errors.ts'
import {
  checkTag,
  parsePublish,
  type PublishedVersion,
} from '../../../../src/registries/publish/publish-document.ts'
import { asRecord } from '../../../../src/registries/publish/publish-json.ts'
import { readPublish, readPublishHere } from '../../../../src/registries/hosted/publish-reader.ts'
import { MANIFEST, PACKAGE, VERSION } from '../../../fixtures/honest-tarball.ts'
import { badBodies } from '../../../fixtures/publish-bodies.ts'
import {
  attachmentOf,
  bodyWithProvenance,
  FILE,
  publishBody,
  withTarball,
} from '../../../fixtures/publish-body.ts'
import clients from '../../../vectors/publish/clients.json' with { type: 'json' }
import { leastMs } from '../../../fixtures/patience.ts'

/** No bad body of ordinary size may hold the thread up for longer; 100 ms is what faults.md asks. */
const MS_MAX = 100
const LARGE_BYTES = 2 * 1024 * 1024

function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

function published(body: unknown, name = PACKAGE): PublishedVersion {
  const document = parsePublish(name, bytesOf(body))
  if (document.kind !== 'publish') throw new Error('a metadata document')
  return document
}

function refusal(action: () => unknown): RegistryError {
  try {
    action()
  } catch (error) {
    if (error instanceof RegistryError) return error
    throw error
  }
  throw new Error('it was taken')
}

describe('what real clients send', () => {
  for (const [client, { path, body }] of Object.entries(clients)) {
    test(client, async () => {
      const name = decodeURIComponent(path.slice(1))
      const read = await readPublishHere(name, bytesOf(body))
      if (read.kind !== 'publish') throw new Error('a metadata document')
      const { version, inside } = read
      expect(version.version).toBe('1.2.3')
      expect(version.description).toBe('a fixture')
      expect(version.readme).toBe('# fixture\n\nHello — world\n')
      expect(inside.readme).toBe(version.readme)
      expect([...version.distTags]).toEqual([['latest', '1.2.3']])
      expect(version.manifest['name']).toBe(name)
      const keys = Object.keys(version.manifest)
      const isOurs = (key: string) => key.startsWith('_') && !/^_n(?:pm|ode)Version$/.test(key)
      expect(keys.filter(key => isOurs(key) || key === 'dist' || key === 'readme')).toEqual([])
      const versions = asRecord(asRecord(body)?.['versions'])
      const dist = asRecord(asRecord(versions?.['1.2.3'])?.['dist'])
      expect(version.integrity).toBe(String(dist?.['integrity']))
      expect(version.shasum).toBe(String(dist?.['shasum']))
      expect(JSON.stringify(version.manifest)).not.toContain('registry.example')
    })
  }
})

describe('bad bodies', () => {
  const names = new Set<string>()
  for (const { name, url, bytes, code, says } of badBodies()) {
    test(name, async () => {
      expect(names.has(name)).toBe(false)
      names.add(name)
      const read = () => refusal(() => parsePublish(url, new Uint8Array(bytes)))
      if (bytes.length < LARGE_BYTES) expect(await leastMs(MS_MAX, read)).toBeLessThan(MS_MAX)
      const error = read()
      expect(error.code).toBe(code)
      expect(error.message).toContain(says)
      expect(error.message.length).toBeLessThan(300)
      expect(error.message.isWellFormed()).toBe(true)
      expect(/\p{Cc}/u.test(error.message)).toBe(false)
    })
  }

  test('there are 300 of them', () => {
    expect([...badBodies()].length).toBeGreaterThanOrEqual(300)
  })
})

describe('a good body', () => {
  test('is read whole', () => {
    const version = published(publishBody({ description: 'd', readme: 'r' }))
    expect(version.manifest).toEqual(MANIFEST)
    expect(version).toMatchObject({ name: PACKAGE, version: VERSION, access: 'public' })
    expect(version).toMatchObject({ description: 'd', readme: 'r', provenance: null })
  })

  test('is the same whatever stands in dist.tarball', () => {
    const honest = published(publishBody())
    const versions = asRecord(publishBody()['versions'])
    const one = asRecord(versions?.[VERSION])
    for (const tarball of ['file:///etc/passwd', 'http://169.254.169.254/', {}, null, 7]) {
      const dist = { ...asRecord(one?.['dist']), tarball }
      const changed = published(publishBody({ versions: { [VERSION]: { ...one, dist } } }))
      expect(changed).toEqual(honest)
    }
  })

  test('keeps a bundle as it came', () => {
    const body = bodyWithProvenance()
    const version = published(body)
    expect(version.provenance?.mediaType).toBe('application/vnd.dev.sigstore.bundle.v0.3+json')
    expect(version.provenance?.data).toContain('dsseEnvelope')
  })

  test('may name several tags, and any access', () => {
    const tags = { 'latest': VERSION, 'next': VERSION, 'beta-2': VERSION }
    expect([...published(publishBody({ 'dist-tags': tags })).distTags.keys()]).toEqual(
      Object.keys(tags),
    )
    expect(published(publishBody({ access: null })).access).toBeNull()
    expect(published(publishBody({ access: undefined })).access).toBeNull()
    expect(published(publishBody({ access: 'restricted' })).access).toBe('restricted')
  })

  test('may escape the slashes of base64', () => {
    const text = JSON.stringify(publishBody()).replaceAll('/', '\\/')
    const document = parsePublish(PACKAGE, new TextEncoder().encode(text))
    expect(document).toEqual(published(publishBody()))
  })

  test('may escape any character of base64', () => {
    const data = asRecord(asRecord(publishBody()['_attachments'])?.[FILE])?.['data']
    const escaped = String(data).replace(/./g, char => {
      return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
    })
    const upper = escaped.replace(/(?<=u)..../g, hex => hex.toUpperCase())
    for (const spelled of [escaped, upper]) {
      const text = JSON.stringify(publishBody()).replace(String(data), spelled)
      const document = parsePublish(PACKAGE, new TextEncoder().encode(text))
      expect(document).toEqual(published(publishBody()))
    }
  })

  test('but not with characters that only look like it', () => {
    const text = JSON.stringify(withTarball({ data: 'MARK' }))
    for (const escape of ['\\u0141', '\\n', '\\t', '\\\\', '\\"', '\\u000a', '\\ud841']) {
      const bytes = new TextEncoder().encode(text.replace('MARK', `AAA${escape}`.repeat(10)))
      expect(refusal(() => parsePublish(PACKAGE, bytes)).message).toContain('is not base64')
    }
  })

  test('has a readme cut between characters', () => {
    const version = published(publishBody({ readme: `${'a'.repeat(65_535)}\u{1F600}` }))
    expect(version.readme?.length).toBe(65_536)
    expect(version.readme?.isWellFormed()).toBe(true)
  })
})

describe('a document without a tarball', () => {
  test('is metadata, whole', () => {
    const document = { _id: PACKAGE, name: PACKAGE, versions: { a: { deprecated: 'no' } } }
    for (const attachments of [{}, { _attachments: {} }]) {
      const body = bytesOf({ ...document, ...attachments })
      expect(parsePublish(PACKAGE, body)).toEqual({ kind: 'metadata', document })
    }
  })

  test('may lack a name (owners), but not have another', () => {
    const owners = { _id: PACKAGE, _rev: '1-a', maintainers: [{ name: 'roe' }] }
    expect(parsePublish(PACKAGE, bytesOf(owners)).kind).toBe('metadata')
    const error = refusal(() => parsePublish('other', bytesOf(owners)))
    expect(error.code).toBe('bad-request')
  })

  test('is read as strictly', () => {
    const twice = new TextEncoder().encode('{"versions":{"1.0.0":{"a":1,"a":2}}}')
    expect(refusal(() => parsePublish(PACKAGE, twice)).message).toContain('twice')
  })
})

describe('dist-tags', () => {
  test('the usual ones pass', () => {
    const usual = ['latest', 'next', 'beta', 'canary', 'v-next', 'release-1.x', 'lts_2', "it's"]
    for (const tag of usual) expect(checkTag(tag)).toBeUndefined()
  })
})

describe('no bytes at all make it fail otherwise', () => {
  test('any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        expect(refusal(() => parsePublish(PACKAGE, bytes)).code).toBe('bad-request')
      }),
    )
  })

  test('any JSON', () => {
    fc.assert(
      fc.property(fc.object({ maxDepth: 4 }), value => {
        const bytes = bytesOf({ ...value, _attachments: { x: value } })
        expect(refusal(() => parsePublish(PACKAGE, bytes))).toBeInstanceOf(RegistryError)
      }),
    )
  })

  test('any byte of a body changed: refused, or the same version', () => {
    const honest = published(publishBody())
    const bytes = bytesOf(publishBody())
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        const changed = bytes.slice()
        changed[at] = byte
        try {
          const read = parsePublish(PACKAGE, changed)
          if (read.kind === 'publish') expect(read.integrity).toBe(honest.integrity)
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError)
        }
      }),
      { numRuns: 500 },
    )
  })
})

/** The longest time that nothing else could run, while a body is read that is refused. */
async function longestHold(read: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 1)
  await expect(read()).rejects.toMatchObject({ code: 'unprocessable' })
  // What was held up until now is late by this much.
  await new Promise(resolve => setTimeout(resolve, 5))
  clearInterval(timer)
  return longest
}

/** The tarball is decoded in pieces of so many characters. */
const PIECE_CHARS = 256 * 1024

describe('large bodies', () => {
  test('are decoded piece by piece as they would be at once', () => {
    const bytesOfPiece = (PIECE_CHARS / 4) * 3
    for (const length of [-2, -1, 0, 1, 2, 3, bytesOfPiece - 1, bytesOfPiece].map(
      more => bytesOfPiece + more,
    )) {
      const tarball = randomFillSync(Buffer.alloc(length))
      const body = withTarball(attachmentOf(tarball))
      const hash = createHash('sha512').update(tarball).digest('base64')
      const error = refusal(() => parsePublish(PACKAGE, bytesOf(body)))
      expect(error.message).toContain(`that of the bytes sent: sha512-${hash}`)
    }
  })

  test('have no padding or space where a piece ends', () => {
    for (const end of ['AA==', 'AAA=', 'AA  ', '    ', 'AAA ']) {
      const data = `${'A'.repeat(PIECE_CHARS - 4)}${end}${'A'.repeat(8)}`
      const error = refusal(() => parsePublish(PACKAGE, bytesOf(withTarball({ data }))))
      expect(error.message).toContain('is not base64')
    }
  })

  test('are read in a Worker, with the same answer and the same errors', async () => {
    const padded = publishBody({ padding: 'x'.repeat(LARGE_BYTES) })
    const here = await readPublishHere(PACKAGE, bytesOf(publishBody()))
    expect(await readPublish(PACKAGE, bytesOf(padded))).toEqual(here)
    const wrong = readPublish('@roe/other', bytesOf(padded))
    await expect(wrong).rejects.toMatchObject({ code: 'bad-request' })
  })

  test('hold the main thread up far less than reading them on it does', async () => {
    const data = 'A'.repeat(64 * 1024 * 1024)
    const attachment = { data, length: 48 * 1024 * 1024 }
    const body = bytesOf(
      publishBody({ _attachments: { [`${PACKAGE}-${VERSION}.tgz`]: attachment } }),
    )
    // Side by side, since how long anything takes is the machine's affair.
    const onIt = await longestHold(() => readPublishHere(PACKAGE, body.slice()))
    const inWorker = await longestHold(() => readPublish(PACKAGE, body))
    expect(inWorker).toBeLessThan(onIt / 2)
  })
})
