/**
 * Where documents are kept: in the cache, but for small ones of packages that live here.
 * @module
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { CacheFiles } from '../../../../src/db/cache-files.ts'
import { type DocumentHead, Documents } from '../../../../src/db/documents.ts'
import { openCache } from '../../../../src/db/open.ts'
import { PackumentPool } from '../../../../src/registries/packument/packument-pool.ts'
import { SMALL_BYTES_MAX } from '../../../../src/registries/packument/packument-scan.ts'
import {
  type DocumentSource,
  KeptDocuments,
  ReplacedError,
} from '../../../../src/registries/reading/kept-documents.ts'
import { temporaryDir } from '../../db/data-dir.ts'
import { encode } from '../vectors.ts'

const LARGE = 'x'.repeat(SMALL_BYTES_MAX + 1)
const stack = new AsyncDisposableStack()
let documents: Documents
let files: CacheFiles
let pool: PackumentPool
let kept: KeptDocuments

beforeAll(() => {
  const dir = stack.use(temporaryDir())
  documents = new Documents(stack.use(openCache(dir.path)))
  files = new CacheFiles(join(dir.path, 'files'))
  pool = stack.use(new PackumentPool())
  kept = opened()
})

afterAll(() => stack.disposeAsync())

const opened = () => new KeptDocuments({ documents, files, pool })

/** A registry whose documents are these texts now. */
function sourceOf(texts: Record<string, string>, lives: boolean) {
  const asked: string[] = []
  const source: DocumentSource = {
    cacheName: lives ? 'hosted' : 'npm',
    ...(lives && { housed: {} }),
    upstream: {
      fetchPackument: async name => {
        asked.push(name)
        const fresh = { etag: '"2"', lastModified: null, maxAgeSeconds: null }
        return { status: 'fresh', bytes: encode(texts[name] ?? '').buffer, ...fresh }
      },
    },
  }
  return { source, asked }
}

function headOf({ cacheName }: DocumentSource, name: string, text: string): DocumentHead {
  return {
    upstream: cacheName,
    name,
    status: 200,
    sha256: new Bun.CryptoHasher('sha256').update(text).digest('hex'),
    length: text.length,
    etag: '"1"',
    lastModified: null,
    checkedAtMs: 1,
    freshUntilMs: 2,
    modified: null,
  }
}

async function keep(source: DocumentSource, name: string, text: string): Promise<DocumentHead> {
  const head = headOf(source, name, text)
  await kept.keep(source, head, encode(text).buffer)
  return head
}

async function textOf(source: DocumentSource, head: DocumentHead): Promise<string> {
  return new TextDecoder().decode(await kept.bytes(source, head))
}

test('what a registry sent is in the cache, also for another process', async () => {
  const { source, asked } = sourceOf({}, false)
  const head = await keep(source, 'pkg', 'small')
  expect(documents.head('npm', 'pkg')).toEqual(head)
  expect(opened().head(source, 'pkg')).toEqual(head)
  expect(await textOf(source, head)).toBe('small')
  expect(asked).toEqual([])
})

test('a small document of a package that lives here is in no cache, and made again', async () => {
  const { source, asked } = sourceOf({ pkg: 'small' }, true)
  const head = await keep(source, 'pkg', 'small')
  expect(kept.head(source, 'pkg')).toEqual(head)
  expect(documents.head('hosted', 'pkg')).toBeNull()
  expect(await textOf(source, head)).toBe('small')
  expect(asked).toEqual([])
  expect(opened().head(source, 'pkg')).toBeNull()
  const bytes = await opened().bytes(source, head)
  expect(new TextDecoder().decode(bytes)).toBe('small')
  expect(asked).toEqual(['pkg'])
})

test('one that is another by now is not taken for the one that was asked for', async () => {
  const { source } = sourceOf({ turned: 'newer' }, true)
  const other = opened()
  const head = headOf(source, 'turned', 'older')
  const failure = await other.bytes(source, head).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(ReplacedError)
  expect(other.head(source, 'turned')).toBeNull()
})

test('a document that grows goes into the cache, one that shrinks leaves it', async () => {
  const { source } = sourceOf({ pkg: 'small' }, true)
  const large = await keep(source, 'pkg', LARGE)
  expect(documents.head('hosted', 'pkg')).toEqual(large)
  expect(kept.head(source, 'pkg')).toEqual(large)
  expect(await textOf(source, large)).toBe(LARGE)
  const small = await keep(source, 'pkg', 'small')
  expect(documents.head('hosted', 'pkg')).toBeNull()
  expect(kept.head(source, 'pkg')).toEqual(small)
})

test('a check that found nothing new moves its times; absence is told from then on', async () => {
  for (const lives of [true, false]) {
    const { source } = sourceOf({}, lives)
    const head = await keep(source, 'renewed', 'text')
    const renewal = { checkedAtMs: 5, freshUntilMs: 6, etag: null, lastModified: null }
    kept.renew(source, 'renewed', renewal)
    expect(kept.head(source, 'renewed')).toEqual({ ...head, checkedAtMs: 5, freshUntilMs: 6 })
    const absent = { ...head, status: 404, sha256: '', length: 0, etag: null }
    kept.keepAbsent(source, absent)
    expect(kept.head(source, 'renewed')).toEqual(absent)
  }
})

test('what an earlier version of this program kept of a small one does not count', () => {
  const { source } = sourceOf({}, true)
  documents.put({ ...headOf(source, 'old', 'text'), packed: null })
  expect(kept.head(source, 'old')).toBeNull()
})
