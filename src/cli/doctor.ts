/**
 * `doctor`: everything around a registry that can be wrong without anybody noticing yet. It looks
 * and says; it repairs nothing. Exit code 0 when nothing failed, 1 when something did.
 * @module
 */
import { existsSync } from 'node:fs'
import { type Config, type Flags, loadConfig } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import { readLogKey } from '../db/keys.ts'
import { SqliteLogStore } from '../db/log-store.ts'
import { openRegistryReadonly, registryPath } from '../db/open.ts'
import type { RegistryDb } from '../db/registry-db.ts'
import { Secrets } from '../db/secrets.ts'
import { Upstreams, type UpstreamRow } from '../db/upstreams.ts'
import { Fetcher } from '../registries/fetch/fetcher.ts'
import { openSecret, parseSecret } from '../registries/sources/upstream-secret.ts'
import { version } from '../version.ts'
import {
  attempt,
  type Check,
  checkClock,
  checkFolder,
  checkHolder,
  checkKeys,
  checkLogState,
  checkRoom,
  failed,
  ok,
  skipped,
  warning,
} from './doctor-checks.ts'
import { EXIT, type Io } from './io.ts'
import { httpReader } from './log-http.ts'

/** A person waits: whoever takes longer is as good as down. */
const ANSWER_MS_MAX = 10_000
/** A few keys, or an error. */
const ANSWER_BYTES_MAX = 1024 * 1024
/** No second tries: what answers now and then only is worth knowing. */
const PACE = { pauseFirstMs: 0, pauseMaxMs: 0 }

type Heard = { check: Check; date: Date | null }

export async function doctor(flags: Flags, shape: { json: boolean }, io: Io): Promise<number> {
  const { config, warnings } = loadConfig(flags)
  for (const text of warnings) io.err(`warning: ${text}\n`)
  const { dataDir } = config
  if (!existsSync(registryPath(dataDir))) {
    throw new ConfigError(`${dataDir} holds no registry; name the folder with --data-dir`)
  }
  const holder = checkHolder(dataDir)
  const checks = [
    await attempt('data dir', () => checkFolder(dataDir)),
    await attempt('disk', () => checkRoom(dataDir)),
    { name: holder.name, status: holder.status, says: holder.says },
    await attempt('keys', () => checkKeys(dataDir)),
    ...(await checkContents(config)),
    await attempt('public URL', () => checkPublicUrl(config, holder.isServed)),
  ]
  const isWell = checks.every(({ status }) => status !== 'failed')
  io.out(shape.json ? `${JSON.stringify({ ok: isWell, checks })}\n` : asText(checks))
  return isWell ? EXIT.ok : EXIT.findings
}

/** What is in the database, and whom it names. */
async function checkContents({ dataDir }: Config): Promise<Check[]> {
  let db: RegistryDb
  try {
    db = openRegistryReadonly(dataDir)
  } catch (error) {
    return [failed('schema', error instanceof Error ? error.message : String(error))]
  }
  using opened = db
  const store = new SqliteLogStore(opened, dataDir)
  const upstreams = new Upstreams(opened)
  const asked = upstreams.list().filter(({ kind }) => kind !== 'hosted')
  const heard: Heard[] = []
  for (const row of asked) heard.push(await askUpstream(row, upstreams, opened, dataDir))
  // From here on everything is of one moment, and short: a server that writes goes on.
  opened.database.run('BEGIN')
  const dates = heard.flatMap(({ check, date }) => (date === null ? [] : [{ ...check, date }]))
  return [
    ok('schema', 'the one that this program knows'),
    await attempt('log', () => checkLogState(store, dataDir)),
    await attempt('clock', () => checkClock(store, new Date(), dates)),
    ...heard.map(({ check }) => check),
  ]
}

/** Any answer is one: what it says of packages is for the proxy to judge. */
async function askUpstream(
  row: UpstreamRow,
  upstreams: Upstreams,
  db: RegistryDb,
  dataDir: string,
): Promise<Heard> {
  const name = `upstream ${row.name}`
  try {
    const fetcher = new Fetcher({
      userAgent: `npmx-registry/${version}`,
      limits: { totalTimeoutMs: ANSWER_MS_MAX, headersTimeoutMs: ANSWER_MS_MAX, retriesMax: 0 },
    })
    const { origin } = new URL(row.url)
    const sealed = new Secrets(db, dataDir).get(row.name, origin)
    const secret = sealed === null ? {} : openSecret(parseSecret(sealed))
    const url = new URL('-/npm/v1/keys', row.url.replace(/\/?$/, '/')).href
    const answer = await fetcher.get({
      site: { origin, ...secret },
      url,
      bytesMax: ANSWER_BYTES_MAX,
    })
    const date = new Date(answer.headers.get('date') ?? Number.NaN)
    return {
      check: keysOf(name, row, upstreams, answer.status),
      date: Number.isNaN(date.getTime()) ? null : date,
    }
  } catch (error) {
    return {
      check: failed(name, error instanceof Error ? error.message : String(error)),
      date: null,
    }
  }
}

function keysOf(name: string, row: UpstreamRow, upstreams: Upstreams, status: number): Check {
  if (status === 401 || status === 403) {
    return failed(name, `${row.url} answers ${status}: its credential is refused`)
  }
  const keys = upstreams.keys(row.mirrorOf ?? row.name)
  const count = (state: string) => keys.filter(key => key.state === state).length
  if (count('pending') > 0) {
    return warning(name, `${count('pending')} keys wait for 'upstream approve-key'`)
  }
  if (row.kind === 'registry' && row.signsSince !== null && count('approved') === 0) {
    return failed(name, 'its versions have to be signed, and no key of it is approved')
  }
  return ok(name, `${row.url} answers; ${count('approved')} approved keys`)
}

/** What clients use has to lead here, and not to another registry. */
async function checkPublicUrl({ publicUrl, dataDir }: Config, isServed: boolean): Promise<Check> {
  if (!isServed) return skipped('public URL', `${publicUrl} was not asked: no server runs`)
  const own = readLogKey(dataDir).vkey
  let found
  try {
    found = await httpReader(publicUrl, PACE).readVkey()
  } catch (error) {
    if (own.startsWith(`${new URL(publicUrl).host}/`)) throw error
    // A server that was started with flags: what is configured is not what it was told.
    const where = `the log is called ${own.slice(0, own.indexOf('+'))}`
    const says = `${publicUrl} does not answer, and ${where}: name the URL with --public-url`
    return warning('public URL', says)
  }
  if (found === own) return ok('public URL', `${publicUrl} leads here`)
  return failed('public URL', `${publicUrl} leads to another registry: its log is ${found}`)
}

function asText(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length))
  return checks
    .map(
      ({ name, status, says }) =>
        `${status.padEnd('warning'.length)}  ${name.padEnd(width)}  ${says}\n`,
    )
    .join('')
}
