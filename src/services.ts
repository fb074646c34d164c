/**
 * Builds every object once, in order, and ends them in the reverse order. Above the rooms: it is
 * the only place that knows how they fit together. No two-step init: what is built is complete.
 * @module
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import type { Config } from './config.ts'
import { CacheFiles } from './db/cache-files.ts'
import { Documents } from './db/documents.ts'
import { Incidents } from './db/incidents.ts'
import { openLogKey, readOrMakeKey } from './db/keys.ts'
import { lockDataDir } from './db/lock.ts'
import { SqliteLogStore } from './db/log-store.ts'
import { openCache, openRegistry, registryPath } from './db/open.ts'
import { Packages } from './db/packages.ts'
import type { RegistryDb } from './db/registry-db.ts'
import { TileStore } from './db/tile-store.ts'
import { type UpstreamRow, Upstreams } from './db/upstreams.ts'
import { Log, LogFatalError } from './log/log.ts'
import { buildAuthority } from './registries/authority.ts'
import { Bodies } from './registries/bodies.ts'
import { defaultRegistryUrl } from './registries/default-registry.ts'
import { Explanations } from './registries/explanations.ts'
import { Fetcher } from './registries/fetcher.ts'
import { Ledger } from './registries/ledger.ts'
import { timestamp } from './registries/timestamp.ts'
import { generateSigningKey, publishedKey } from './registries/own-key.ts'
import { PackumentPool } from './registries/packument-pool.ts'
import { Passing } from './registries/passing.ts'
import { Proxy } from './registries/proxy.ts'
import { Records } from './registries/records.ts'
import { Refresher } from './registries/refresher.ts'
import { Renderings } from './registries/renderings.ts'
import { type Source, Sources } from './registries/source.ts'
import { Tarballs } from './registries/tarballs.ts'
import { Trust } from './registries/trust.ts'
import { TrustedParties } from './registries/trusted-parties.ts'
import { Upstream } from './registries/upstream.ts'
import { buildApp } from './routes/app.ts'
import { homeRoute } from './routes/home.ts'
import { version } from './version.ts'

/** The upstream that every installation begins with. */
const FIRST_UPSTREAM = 'npm'
/** Bytes of an Ed25519 seed (RFC 8032, section 5.1.5). */
const SEED_BYTES = 32
/** Exit code of a process whose log can no longer be written: the next start finds out what is true. */
const EXIT_FATAL = 70

/** A running instance, as `serve` sees it. */
export type Services = AsyncDisposable & {
  readonly dataDirIsNew: boolean
  readonly logVkey: string
  readonly logSize: number
  readonly upstreams: readonly { name: string; url: string; signs: 'yes' | 'no' | 'unknown' }[]
  listen(): void
}

const now = () => new Date()

/** Builds everything for one data dir. @throws LockedError when another process has it */
export async function buildServices(config: Config): Promise<Services> {
  await using stack = new AsyncDisposableStack()
  const logger = pino({ level: config.logLevel }, pino.destination({ fd: 2, sync: true }))
  const dataDirIsNew = !existsSync(registryPath(config.dataDir))
  stack.use(lockDataDir(config.dataDir, process.pid))
  const db = stack.use(openRegistry(config.dataDir))
  const cache = stack.use(openCache(config.dataDir))
  const upstreams = new Upstreams(db)
  ensureFirstUpstream(upstreams, config)

  const store = new SqliteLogStore(db, config.dataDir)
  const origin = `${new URL(config.publicUrl).host}/log`
  const seed = () => crypto.getRandomValues(new Uint8Array(SEED_BYTES))
  const logKey = openLogKey(config.dataDir, origin, store.readState() !== null, seed)
  const log = Log.open(store, logKey.signer)
  const own = publishedKey(readOrMakeKey(config.dataDir, 'registry.key', generateSigningKey))

  const warn = (text: string) => logger.warn(text)
  const fetcher = new Fetcher({ userAgent: `npmx-registry/${version}` })
  const pool = stack.use(new PackumentPool())
  const sources = buildSources({ upstreams, db, log, fetcher, warn })
  const packages = new Packages(db)
  const incidents = new Incidents(db)
  const documents = new Documents(cache)
  const base = config.publicUrl
  const ledger = new Ledger({ db, log, store, packages, incidents, base, now })
  const files = new CacheFiles(join(config.dataDir, 'cache', 'files'))
  const refresher = new Refresher({ documents, files, packages, ledger, pool, now })
  const renderings = new Renderings({ documents, files, pool, now })
  const settings = { base, canonicalOrigin: new URL(defaultRegistryUrl()).origin }
  const proxy = new Proxy({ sources, documents, packages, refresher, renderings, settings, now })
  const tiles = new TileStore(store, () => log.published)
  const app = buildApp({
    proxy,
    tarballs: new Tarballs({ sources, packages, incidents, proxy, base, now, warn }),
    bodies: new Bodies(files),
    home: homeRoute({ version, publicUrl: base, vkey: logKey.vkey }),
    prefix: new URL(base).pathname.replace(/\/$/, ''),
    report: { logger, fatal: exitOnFatal(logger) },
    records: new Records({ log, store, tiles, vkey: logKey.vkey, sources, packages, proxy, base }),
    explanations: new Explanations(incidents, sources),
    passing: new Passing(sources),
    parties: new TrustedParties(sources, own),
    checks: [{ name: 'log', check: () => void store.readState() }],
  })
  stack.defer(async () => {
    if (app.server !== null) await app.stop()
  })
  const kept = stack.move()
  return {
    dataDirIsNew,
    logVkey: logKey.vkey,
    logSize: log.size,
    upstreams: sources.all().map(source => ({
      name: source.name,
      url: source.upstream.url,
      signs: signsOf(source),
    })),
    listen: () => void app.listen({ hostname: config.listen.host, port: config.listen.port }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** The upstream `npm`: made on the first start; `--upstream` replaces its URL for this run. */
function ensureFirstUpstream(upstreams: Upstreams, config: Config): void {
  const url = config.upstreamUrl ?? defaultRegistryUrl()
  const known = upstreams.get(FIRST_UPSTREAM)
  if (known !== null) {
    if (known.url !== url) upstreams.change(FIRST_UPSTREAM, { url })
    return
  }
  upstreams.add({
    name: FIRST_UPSTREAM,
    url,
    kind: 'registry',
    mirrorOf: null,
    namespace: 'npm',
    names: ['**'],
    signatures: 'auto',
    tarballs: 'canonical',
    created: timestamp(now()),
  })
}

type SourceNeeds = {
  upstreams: Upstreams
  db: RegistryDb
  log: Log
  fetcher: Fetcher
  warn: (message: string) => void
}

function buildSources(needs: SourceNeeds): Sources {
  const rows = needs.upstreams.list().filter(row => row.kind === 'registry')
  const authority = buildAuthority(rows.map(row => ({ registry: row.name, patterns: row.names })))
  return new Sources(
    authority,
    rows.map(row => buildSource(row, needs)),
  )
}

function buildSource(row: UpstreamRow, needs: SourceNeeds): Source {
  const { name, namespace } = row
  const upstream = new Upstream({ name, url: row.url, namespace }, needs.fetcher)
  const trust = new Trust({
    name,
    namespace,
    mode: row.signatures,
    upstream,
    store: needs.upstreams,
    db: needs.db,
    log: needs.log,
    now,
    warn: needs.warn,
  })
  return { name, namespace, canonical: row.tarballs === 'canonical', upstream, trust }
}

function signsOf(source: Source): 'yes' | 'no' | 'unknown' {
  if (source.trust.stored().signs) return 'yes'
  return 'unknown'
}

/** After a failed commit nobody knows what is on disk: this process must not sign anything more. */
function exitOnFatal(logger: pino.Logger): (error: unknown) => void {
  return error => {
    if (!(error instanceof LogFatalError)) return
    logger.fatal({ err: error }, 'the log cannot be written any more; stopping')
    process.exit(EXIT_FATAL)
  }
}
