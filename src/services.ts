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
import { TileStore } from './db/tile-store.ts'
import { Upstreams } from './db/upstreams.ts'
import { Log, LogFatalError } from './log/log.ts'
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
import type { Sources } from './registries/source.ts'
import { makeSources } from './registries/source-factory.ts'
import { Tarballs } from './registries/tarballs.ts'
import { TrustedParties } from './registries/trusted-parties.ts'
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

/** What is on disk, open: everything else is built over it. */
type Storage = ReturnType<typeof openStorage>

/** Builds everything for one data dir. @throws LockedError when another process has it */
export async function buildServices(config: Config): Promise<Services> {
  await using stack = new AsyncDisposableStack()
  const logger = pino({ level: config.logLevel }, pino.destination({ fd: 2, sync: true }))
  const storage = openStorage(config, stack)
  const fetcher = new Fetcher({ userAgent: `npmx-registry/${version}` })
  const warn = (text: string) => logger.warn(text)
  const sources = makeSources({ ...storage, fetcher, now, warn })
  const pool = stack.use(new PackumentPool())
  const app = buildSurface(config, storage, sources, pool, logger)
  stack.defer(async () => {
    if (app.server !== null) await app.stop()
  })
  const kept = stack.move()
  return {
    dataDirIsNew: storage.dataDirIsNew,
    logVkey: storage.logKey.vkey,
    logSize: storage.log.size,
    upstreams: sources.all().map(({ name, upstream, trust }) => ({
      name,
      url: upstream.url,
      signs: trust.stored().signs ? 'yes' : 'unknown',
    })),
    listen: () => void app.listen({ hostname: config.listen.host, port: config.listen.port }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

function openStorage(config: Config, stack: AsyncDisposableStack) {
  const { dataDir } = config
  const dataDirIsNew = !existsSync(registryPath(dataDir))
  stack.use(lockDataDir(dataDir, process.pid))
  const db = stack.use(openRegistry(dataDir))
  const documents = new Documents(stack.use(openCache(dataDir)))
  const upstreams = new Upstreams(db)
  // Another address is another word for what a package is: nothing cached of the old one counts.
  if (settleFirstUpstream(upstreams, config) === 'moved') documents.clear()
  const store = new SqliteLogStore(db, dataDir)
  const origin = `${new URL(config.publicUrl).host}/log`
  const logKey = openLogKey(dataDir, origin, store.readState() !== null, randomSeed)
  return {
    dataDirIsNew,
    db,
    documents,
    upstreams,
    store,
    logKey,
    log: Log.open(store, logKey.signer),
    own: publishedKey(readOrMakeKey(dataDir, 'registry.key', generateSigningKey)),
    packages: new Packages(db),
    incidents: new Incidents(db),
    files: new CacheFiles(join(dataDir, 'cache', 'files')),
  }
}

function buildSurface(
  config: Config,
  storage: Storage,
  sources: Sources,
  pool: PackumentPool,
  logger: pino.Logger,
) {
  const base = config.publicUrl
  const { log, store, own, packages, incidents, files } = storage
  const { vkey } = storage.logKey
  const settings = { base, canonicalOrigin: new URL(defaultRegistryUrl()).origin }
  const ledger = new Ledger({ ...storage, base, now })
  const refresher = new Refresher({ ...storage, ledger, pool, now })
  const renderings = new Renderings({ ...storage, pool, now })
  const proxy = new Proxy({ ...storage, sources, refresher, renderings, settings, now })
  const tiles = new TileStore(store, () => log.published)
  const warn = (text: string) => logger.warn(text)
  return buildApp({
    proxy,
    tarballs: new Tarballs({ sources, packages, incidents, proxy, base, now, warn }),
    bodies: new Bodies(files),
    home: homeRoute({ version, publicUrl: base, vkey }),
    prefix: new URL(base).pathname.replace(/\/$/, ''),
    report: { logger, fatal: exitOnFatal(logger) },
    records: new Records({ log, store, tiles, vkey, sources, packages, proxy, base }),
    explanations: new Explanations(incidents, sources),
    passing: new Passing(sources),
    parties: new TrustedParties(sources, own),
    checks: [{ name: 'log', check: () => void store.readState() }],
  })
}

function randomSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_BYTES))
}

/** The upstream `npm`: made on the first start; `--upstream` replaces its URL. */
function settleFirstUpstream(upstreams: Upstreams, config: Config): 'made' | 'same' | 'moved' {
  const url = config.upstreamUrl ?? defaultRegistryUrl()
  const known = upstreams.get(FIRST_UPSTREAM)
  if (known?.url === url) return 'same'
  if (known !== null) {
    upstreams.change(FIRST_UPSTREAM, { url })
    return 'moved'
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
  return 'made'
}

/** After a failed commit nobody knows what is on disk: this process must not sign anything more. */
function exitOnFatal(logger: pino.Logger): (error: unknown) => void {
  return error => {
    if (!(error instanceof LogFatalError)) return
    logger.fatal({ err: error }, 'the log cannot be written any more; stopping')
    process.exit(EXIT_FATAL)
  }
}
