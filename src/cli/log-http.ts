/**
 * A log read over HTTP: checkpoint, tiles and lookups under `<registry>/-/sumdb/`, and, for
 * `verify --fetch`, tarballs to hash (https://c2sp.org/tlog-tiles@v1.0.0, "Parameters").
 *
 * The rule that `registries/fetch/fetcher.ts` is the only outbound `fetch` is the server's: it
 * guards a process that strangers make fetch things. This is a command that a person runs against a
 * URL of theirs, from their own machine; it carries no credential, and what comes back is believed
 * only after the log's own checks. Limits hold all the same: time, bytes, tries.
 *
 * Bytes are handed on as they come; nothing here decides whether they are right.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LogOps } from '../log/client.ts'
import { LogFileMissing } from '../log/errors.ts'
import { LOOKUP_BYTES_MAX } from '../log/lookup.ts'
import { NOTE_CHARS_MAX } from '../log/note.ts'
import { ENTRY_BYTES_MAX, TILE_BYTES, TILE_WIDTH } from '../log/tile.ts'

/** A checkpoint or a tile is a small file. */
const READ_TIMEOUT_MS = 20_000
/** A lookup may have to ask an upstream for a packument of 100 MB and verify all of it. */
const LOOKUP_TIMEOUT_MS = 90_000
/** A tarball of the largest packages over a slow line. */
const TARBALL_TIMEOUT_MS = 600_000
/** The largest packages of the public registry have some hundred megabytes. */
const TARBALL_BYTES_MAX = 2 * 1024 ** 3
/** A verifier key is one line. */
const VKEY_BYTES_MAX = 4096
/** The longest manifests of single versions have some hundred kilobytes. */
const MANIFEST_BYTES_MAX = 8 * 1024 * 1024
/** A registry with its keys and patterns has some kilobytes; a server has some hundred at most. */
const REGISTRIES_BYTES_MAX = 8 * 1024 * 1024
/** The JSON of an error is a few lines. */
const ERROR_BYTES_MAX = 64 * 1024
/** The first try and three more: a server that restarts is back within their pauses. */
const TRIES_MAX = 4
const PAUSE_FIRST_MS = 250
/** However long a server asks to wait, a person is waiting too. */
const PAUSE_MAX_MS = 10_000
/** A full bundle of the longest entries, each with its length before it. */
const BUNDLE_BYTES_MAX = TILE_WIDTH * (ENTRY_BYTES_MAX + 2)
/** What is shown of a server's sentence. */
const SENTENCE_CHARS_MAX = 300

export type LogHttpErrorCode =
  /** the authority of the name does not have that version, or the log not that file */
  | 'missing'
  /** the registry refuses that version; the message is its own sentence */
  | 'refused'
  | 'unreachable'

export class LogHttpError extends Error {
  override readonly name = 'LogHttpError'
  readonly code: LogHttpErrorCode

  constructor(code: LogHttpErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

type Limits = { timeoutMs: number; bytesMax: number; accept?: string }

/** How long to wait between tries; tests wait less. */
export type Pace = { pauseFirstMs: number; pauseMaxMs: number }

const PACE: Pace = { pauseFirstMs: PAUSE_FIRST_MS, pauseMaxMs: PAUSE_MAX_MS }

/** What `verify` asks of a registry besides its log. */
export type RegistryReader = {
  ops: LogOps
  /** The verifier key that the server itself names. */
  readVkey: () => Promise<string>
  /** The namespace of each registry that it lists, by the name of the upstream. */
  readNamespaces: () => Promise<Map<string, string>>
  /** Hashes of a version's tarball as this registry, or the URL given, serves it now. */
  hashTarball: (name: string, version: string, archive?: string) => Promise<TarballHashes>
}

export type TarballHashes = { sha512: string; sha1: string }

/** @param base URL of the registry, ends in a slash */
export function httpReader(base: string, pace: Pace = PACE): RegistryReader {
  const sumdb = new URL('-/sumdb/', base)
  const read = (path: string, limits: Limits) => readAll(new URL(path, sumdb), limits, pace)
  return {
    ops: {
      async readCheckpoint() {
        const limits = { timeoutMs: READ_TIMEOUT_MS, bytesMax: NOTE_CHARS_MAX }
        return decode(await read('checkpoint', limits))
      },
      async readTile(path) {
        const bytesMax = path.startsWith('tile/entries/') ? BUNDLE_BYTES_MAX : TILE_BYTES
        try {
          return await read(path, { timeoutMs: READ_TIMEOUT_MS, bytesMax })
        } catch (error) {
          const isMissing = error instanceof LogHttpError && error.code === 'missing'
          throw isMissing
            ? new LogFileMissing(`${path}: ${error.message}`, { cause: error })
            : error
        }
      },
      lookup(name, version, namespace) {
        const query = namespace === undefined ? '' : `?ns=${encodeURIComponent(namespace)}`
        const limits = { timeoutMs: LOOKUP_TIMEOUT_MS, bytesMax: LOOKUP_BYTES_MAX }
        return read(`lookup/${escapeIdentity(name, version)}${query}`, limits)
      },
    },
    async readVkey() {
      const limits = { timeoutMs: READ_TIMEOUT_MS, bytesMax: VKEY_BYTES_MAX }
      return decode(await read('vkey', limits)).trim()
    },
    readNamespaces: () => readNamespaces(new URL('-/registries', base), pace),
    hashTarball: (name, version, archive) => hashTarball(base, name, version, archive, pace),
  }
}

async function readNamespaces(url: URL, pace: Pace): Promise<Map<string, string>> {
  const limits = { timeoutMs: READ_TIMEOUT_MS, bytesMax: REGISTRIES_BYTES_MAX }
  const parties = fieldOf(parseJson(decode(await readAll(url, limits, pace))), 'registries')
  if (!Array.isArray(parties)) throw new LogHttpError('unreachable', `${url.href} lists nothing`)
  const namespaces = new Map<string, string>()
  for (const party of parties) {
    const [name, namespace] = [fieldOf(party, 'name'), fieldOf(party, 'namespace')]
    // A mirror has its registry's namespace and is no registry of its own.
    if (fieldOf(party, 'kind') === 'mirror') continue
    if (typeof name === 'string' && typeof namespace === 'string') namespaces.set(name, namespace)
  }
  return namespaces
}

async function hashTarball(
  base: string,
  name: string,
  version: string,
  archive: string | undefined,
  pace: Pace,
): Promise<TarballHashes> {
  const url = archive === undefined ? undefined : new URL(archive)
  if (url !== undefined && url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new LogHttpError('unreachable', `${url.protocol} is no way to fetch a tarball`)
  }
  const usual = `${escapeName(name)}/-/${name.slice(name.indexOf('/') + 1)}-${version}.tgz`
  try {
    return await hashUrl(url ?? new URL(usual, base), pace)
  } catch (error) {
    const isUnusual = error instanceof LogHttpError && error.code === 'missing'
    if (!isUnusual || url !== undefined) throw error
    // Some old packages have files of other names: only their manifest tells.
    const file = await tarballFile(base, name, version, pace)
    return hashUrl(new URL(`${escapeName(name)}/-/${encodeURIComponent(file)}`, base), pace)
  }
}

async function tarballFile(
  base: string,
  name: string,
  version: string,
  pace: Pace,
): Promise<string> {
  const url = new URL(`${escapeName(name)}/${encodeURIComponent(version)}`, base)
  const limits = {
    timeoutMs: READ_TIMEOUT_MS,
    bytesMax: MANIFEST_BYTES_MAX,
    accept: 'application/json',
  }
  const manifest = parseJson(decode(await readAll(url, limits, pace)))
  const tarball = fieldOf(fieldOf(manifest, 'dist'), 'tarball')
  const file = typeof tarball === 'string' ? tarball.split('/').at(-1) : undefined
  if (file === undefined || file === '') {
    throw new LogHttpError('unreachable', `${url.href} names no tarball`)
  }
  return file
}

async function hashUrl(url: URL, pace: Pace): Promise<TarballHashes> {
  const limits = { timeoutMs: TARBALL_TIMEOUT_MS, bytesMax: TARBALL_BYTES_MAX }
  return withTries(pace, async () => {
    const sha512 = createHash('sha512')
    const sha1 = createHash('sha1')
    for await (const chunk of chunks(await ask(url, limits), url, limits)) {
      sha512.update(chunk)
      sha1.update(chunk)
    }
    return { sha512: `sha512-${sha512.digest('base64')}`, sha1: sha1.digest('hex') }
  })
}

async function readAll(url: URL, limits: Limits, pace: Pace): Promise<Uint8Array> {
  return withTries(pace, async () => {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks(await ask(url, limits), url, limits)) parts.push(chunk)
    return new Uint8Array(Buffer.concat(parts))
  })
}

/** An answer that is worth another try after a pause. */
class TryAgain extends Error {
  override readonly name = 'TryAgain'
  readonly code = 'try-again'
  readonly afterMs: number
  readonly final: LogHttpError

  constructor(final: LogHttpError, afterMs: number) {
    super(final.message)
    this.final = final
    this.afterMs = afterMs
  }
}

async function withTries<T>(pace: Pace, action: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await action()
    } catch (error) {
      if (!(error instanceof TryAgain)) throw error
      if (tried >= TRIES_MAX) throw error.final
      const pause = Math.max(error.afterMs, pace.pauseFirstMs * 2 ** (tried - 1))
      await sleep(Math.min(pause, pace.pauseMaxMs))
    }
  }
}

async function ask(url: URL, limits: Limits): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, {
      headers: { 'accept': limits.accept ?? '*/*', 'user-agent': 'npmx-registry-verify' },
      signal: AbortSignal.timeout(limits.timeoutMs),
    })
  } catch (error) {
    throw again(url, error instanceof Error ? error.message : String(error), 0, error)
  }
  if (response.ok) return response
  const sentence = await readSentence(response, url, limits)
  const message = `answered ${response.status} ${sentence}`.trim()
  const words = sentence === '' ? `${url.href} ${message}` : sentence
  if (response.status === 403) throw new LogHttpError('refused', words)
  if (response.status === 404) throw new LogHttpError('missing', words)
  const isBusy = response.status === 429 || response.status >= 500
  if (!isBusy) throw new LogHttpError('unreachable', `${url.href}: ${message}`)
  throw again(url, message, readRetryAfterMs(response.headers.get('retry-after')))
}

async function* chunks(
  response: Response,
  url: URL,
  limits: Limits,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0
  const body = response.body?.getReader()
  if (body === undefined) return
  try {
    for (;;) {
      const { done, value } = await readChunk(body, url)
      if (done || value === undefined) return
      size += value.length
      if (size > limits.bytesMax) {
        const message = `${url.href}: more than ${limits.bytesMax} bytes`
        throw new LogHttpError('unreachable', message)
      }
      yield value
    }
  } finally {
    await body.cancel().catch(() => undefined)
  }
}

async function readChunk(
  body: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> },
  url: URL,
): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
  try {
    return await body.read()
  } catch (error) {
    throw again(url, error instanceof Error ? error.message : String(error), 0, error)
  }
}

function again(url: URL, message: string, afterMs: number, cause?: unknown): TryAgain {
  return new TryAgain(new LogHttpError('unreachable', `${url.href}: ${message}`, cause), afterMs)
}

/** What an error answer says to people: `error` of its JSON, in one line. */
async function readSentence(response: Response, url: URL, limits: Limits): Promise<string> {
  const parts: Uint8Array[] = []
  try {
    const shorter = { ...limits, bytesMax: ERROR_BYTES_MAX }
    for await (const chunk of chunks(response, url, shorter)) parts.push(chunk)
  } catch {
    // The status says what matters; only the words to it are lost.
    return ''
  }
  const error = fieldOf(parseJson(decode(Buffer.concat(parts))), 'error')
  const sentence = typeof error === 'string' ? error : ''
  return sentence.replace(/[\p{C}\p{Z}]+/gu, ' ').slice(0, SENTENCE_CHARS_MAX)
}

function readRetryAfterMs(header: string | null): number {
  // Dates are allowed too (RFC 9110, section 10.2.3) but no registry sends one.
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : 0
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function fieldOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.entries(value).find(([name]) => name === key)?.[1]
}

/** Bytes that are not UTF-8 become replacement characters, which no check lets pass. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}

function escapeName(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/').replace(/^%40/, '@')
}

function escapeIdentity(name: string, version: string): string {
  return `${escapeName(name)}@${encodeURIComponent(version)}`
}
