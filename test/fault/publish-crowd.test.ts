/**
 * A hundred clients publish at once, through the front door of one instance: every publish that is
 * acknowledged is there once, in the packument, in the tags, in the log, and its tarball; what is
 * refused has left nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { httpReader } from '../../src/cli/log-http.ts'
import { LogClient } from '../../src/log/client.ts'
import { newVerifier } from '../../src/log/note.ts'
import { fileSeed, type Release, tarballOf } from '../fixtures/publishing.ts'
import { storedTarballs } from '../fixtures/stored-tarballs.ts'
import { temporaryDir, type TemporaryDir } from '../unit/db/data-dir.ts'
import { NAMESPACE, Served } from './publish-server.ts'
import { logFaults } from './publish-verdict.ts'
import { until } from '../fixtures/patience.ts'

const CLIENTS = 100
const TIMEOUT_MS = 300_000

let dir: TemporaryDir
let served: Served

beforeAll(async () => {
  dir = temporaryDir()
  served = await Served.on(dir.path)
  // The first publish of all also logs the key that signs.
  expect(await statuses([{ name: 'first-of-all', version: '1.0.0' }])).toEqual([201])
})

afterAll(async () => {
  await served[Symbol.asyncDispose]()
  dir[Symbol.dispose]()
})

const statuses = (releases: readonly Release[]) =>
  Promise.all(releases.map(async release => (await served.publish(release)).status))

const blobs = () => storedTarballs(dir.path).length

async function logSize(): Promise<number> {
  const note = await (await served.get('-/sumdb/checkpoint')).text()
  return Number(note.split('\n')[1])
}

/** Where each version is in the log, proven by a client that checks the proofs. */
async function indexesOf(releases: readonly Release[]): Promise<number[]> {
  const { ops, readVkey } = httpReader(served.url)
  const client = new LogClient(ops, newVerifier(await readVkey()))
  const indexes: number[] = []
  for (const { name, version } of releases) {
    indexes.push((await client.lookup(name, version, NAMESPACE)).index)
  }
  return indexes
}

async function documentOf(name: string) {
  const text = await (await served.get(name)).text()
  const document: unknown = JSON.parse(text)
  return document
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)

describe('a crowd publishes at once', () => {
  test(
    'different packages: none lost, none doubled',
    async () => {
      const releases = range(0, CLIENTS).map(i => ({
        name: i % 2 === 0 ? `crowd-${i}` : `@crowd/member-${i}`,
        version: '1.0.0',
        seed: i % 4 === 0 ? fileSeed(String(i)) : String(i),
      }))
      const [size, before] = [await logSize(), blobs()]
      expect(await statuses(releases)).toEqual(releases.map(() => 201))
      expect(await logSize()).toBe(size + CLIENTS)
      expect(blobs()).toBe(before + CLIENTS)
      const indexes = await indexesOf(releases)
      expect(indexes.toSorted((a, b) => a - b)).toEqual(range(size, CLIENTS))
      for (const release of releases) {
        const { name } = release
        expect(await documentOf(name.replace('/', '%2f'))).toMatchObject({
          'name': name,
          'dist-tags': { latest: '1.0.0' },
          'versions': { '1.0.0': { name } },
        })
        const file = `${name.slice(name.indexOf('/') + 1)}-1.0.0.tgz`
        const tarball = await served.get(`${name}/-/${file}`)
        expect(new Uint8Array(await tarball.arrayBuffer())).toEqual(tarballOf(release))
      }
      expect(await logFaults(dir.path)).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'versions of one package: each is there, each tag is right, the last one is the latest',
    async () => {
      const name = 'crowded'
      const releases = range(0, CLIENTS).map(i => ({
        name,
        version: `1.0.${i}`,
        tag: i % 2 === 0 ? 'latest' : `tag-${i}`,
        seed: String(i),
      }))
      const size = await logSize()
      expect(await statuses(releases)).toEqual(releases.map(() => 201))
      expect(await logSize()).toBe(size + CLIENTS)
      const indexes = await indexesOf(releases)
      expect(indexes.toSorted((a, b) => a - b)).toEqual(range(size, CLIENTS))
      // The order of the log is that of the commits.
      const lastLatest = releases.reduce((last, release, i) =>
        release.tag === 'latest' && (indexes[i] ?? 0) > (indexes[releases.indexOf(last)] ?? 0)
          ? release
          : last,
      )
      const odd = releases.filter(({ tag }) => tag !== 'latest')
      const found = await documentOf(name)
      expect(found).toMatchObject({
        'dist-tags': {
          latest: lastLatest.version,
          ...Object.fromEntries(odd.map(({ tag, version }) => [tag, version])),
        },
        'versions': Object.fromEntries(releases.map(({ version }) => [version, { version }])),
      })
      expect(await logFaults(dir.path)).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'one version of one package: one is published, the others are told, and leave nothing',
    async () => {
      const releases = range(0, CLIENTS).map(i => ({
        name: 'contended',
        version: '1.0.0',
        seed: i % 2 === 0 ? fileSeed(String(i)) : `attempt ${i}`,
      }))
      const [size, before] = [await logSize(), blobs()]
      const answers = await statuses(releases)
      expect(answers.toSorted((a, b) => a - b)).toEqual([
        201,
        ...range(0, CLIENTS - 1).map(() => 403),
      ])
      const winner = releases[answers.indexOf(201)]
      if (winner === undefined) throw new Error('nobody published')
      const tarball = await served.get('contended/-/contended-1.0.0.tgz')
      expect(new Uint8Array(await tarball.arrayBuffer())).toEqual(tarballOf(winner))
      expect(await logSize()).toBe(size + 1)
      await until(() => blobs() === before + 1)
      expect(blobs()).toBe(before + 1)
    },
    TIMEOUT_MS,
  )
})
