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
import { Disputes } from './db/disputes.ts'
import { Documents } from './db/documents.ts'
import { Incidents } from './db/incidents.ts'
import { openLogKey, readOrMakeKey } from './db/keys.ts'
import { lockDataDir } from './db/lock.ts'
import { SqliteLogStore } from './db/log-store.ts'
import { openCache, openRegistry, registryPath } from './db/open.ts'
import { Packages } from './db/packages.ts'
import { Secrets } from './db/secrets.ts'
import { TileStore } from './db/tile-store.ts'
import { Upstreams } from './db/upstreams.ts'
import { Log, LogFatalError } from './log/log.ts'
import { Agreement } from './registries/agreement.ts'
import { Bodies } from './registries/bodies.ts'
import { Cosigner } from './registries/cosign.ts'
import { defaultRegistryUrl } from './registries/default-registry.ts'
import { Explanations } from './registries/explanations.ts'
import { Failover } from './registries/failover.ts'
import { Fetcher } from './registries/fetcher.ts'
import { GoRecords } from './registries/go-records.ts'
import { Ledger } from './registries/ledger.ts'
import { PROBE_LIMITS } from './registries/mirror.ts'
import { timestamp } from './registries/timestamp.ts'
import { generateSigningKey, OwnKeys } from './registries/own-key.ts'
import { PackumentPool } from './registries/packument-pool.ts'
import { Passing } from './registries/passing.ts'
import { Proxy } from './registries/proxy.ts'
import { Records } from './registries/records.ts'
import { Refresher } from './registries/refresher.ts'
import { Renderings } from './registries/renderings.ts'
import { SourceFactory } from './registries/source-factory.ts'
import { TarballCache } from './registries/tarball-cache.ts'
import { Tarballs } from './registries/tarballs.ts'
import { TrustedParties } from './registries/trusted-parties.ts'
import type { UpstreamAdmin } from './registries/upstream-admin.ts'
import { FIRST_UPSTREAM } from './registries/upstream-request.ts'
import { buildApp } from './routes/app.ts'
import { homeRoute } from './routes/home.ts'
import { listenControl, makeUpstreamAdmin, socketActor } from './services-admin.ts'
import { version } from './version.ts'

/** Bytes of an Ed25519 seed (RFC 8032, section 5.1.5). */
const SEED_BYTES = 32
/** Tarballs kept for registries in mode `cache`: those of some hundred applications. */
const TARBALL_CACHE_BYTES_MAX = 10 * 1024 * 1024 * 1024
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
  settleFirstUpstream(storage, config)
  const warn = (text: string) => logger.warn(text)
  const network = openNetwork(storage, stack, warn)
  const { app, proxy, report } = buildSurface(config, storage, network, logger)
  const parts = { ...storage, ...network, now, warn, forgetHeld: () => proxy.forget() }
  const upstreams = makeUpstreamAdmin(parts, socketActor())
  stack.defer(async () => {
    if (app.server !== null) await app.stop()
  })
  const kept = stack.move()
  return {
    dataDirIsNew: storage.dataDirIsNew,
    logVkey: storage.logKey.vkey,
    logSize: storage.log.size,
    upstreams: network.factory.sources.all().map(({ name, upstream, trust }) => ({
      name,
      url: upstream.url,
      signs: trust.stored().signs ? 'yes' : 'unknown',
    })),
    listen() {
      app.listen({ hostname: config.listen.host, port: config.listen.port })
      try {
        kept.use(listenControl(config.dataDir, { operations: { upstreams }, report }))
      } catch (error) {
        // Sockets allow some hundred bytes of path. Packages are served all the same.
        warn(`no control socket, so commands need the server stopped: ${String(error)}`)
      }
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** The operations on upstreams of a data dir that no server has open. @throws LockedError */
export async function openUpstreamAdmin(
  config: Config,
  warn: (message: string) => void,
): Promise<{ upstreams: UpstreamAdmin } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const storage = openStorage(config, stack)
  const network = openNetwork(storage, stack, warn)
  const parts = { ...storage, ...network, now, warn, forgetHeld: () => undefined }
  const upstreams = makeUpstreamAdmin(parts, 'cli')
  const kept = stack.move()
  return { upstreams, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** What asks others, and what is asked. */
function openNetwork(
  storage: Storage,
  stack: AsyncDisposableStack,
  warn: (message: string) => void,
) {
  const userAgent = `npmx-registry/${version}`
  const fetcher = new Fetcher({ userAgent })
  const probes = new Fetcher({ userAgent, limits: PROBE_LIMITS })
  const factory = new SourceFactory({ ...storage, fetcher, probes, now, warn })
  return { fetcher, factory, pool: stack.use(new PackumentPool()) }
}

function openStorage(config: Config, stack: AsyncDisposableStack) {
  const { dataDir } = config
  const dataDirIsNew = !existsSync(registryPath(dataDir))
  stack.use(lockDataDir(dataDir, process.pid))
  const db = stack.use(openRegistry(dataDir))
  const documents = new Documents(stack.use(openCache(dataDir)))
  const upstreams = new Upstreams(db)
  const store = new SqliteLogStore(db, dataDir)
  const origin = `${new URL(config.publicUrl).host}/log`
  const logKey = openLogKey(dataDir, origin, store.readState() !== null, randomSeed)
  return {
    dataDirIsNew,
    db,
    documents,
    upstreams,
    secrets: new Secrets(db, dataDir),
    store,
    logKey,
    log: Log.open(store, logKey.signer),
    ownKeys: new OwnKeys(
      readOrMakeKey(dataDir, 'registry.key', generateSigningKey),
      upstreams,
      timestamp(now()),
    ),
    packages: new Packages(db),
    incidents: new Incidents(db),
    disputes: new Disputes(db),
    files: new CacheFiles(join(dataDir, 'cache', 'files')),
    tarballs: new CacheFiles(join(dataDir, 'cache', 'tarballs'), TARBALL_CACHE_BYTES_MAX),
  }
}

function buildSurface(
  config: Config,
  storage: Storage,
  { fetcher, factory, pool }: ReturnType<typeof openNetwork>,
  logger: pino.Logger,
) {
  const { sources } = factory
  const base = config.publicUrl
  const { log, store, packages, incidents, files } = storage
  const { vkey, signer } = storage.logKey
  const canonicalOrigin = new URL(defaultRegistryUrl()).origin
  const settings = { base, canonicalOrigin, cosigner: new Cosigner(storage) }
  const warn = (text: string) => logger.warn(text)
  const ledger = new Ledger({ ...storage, base, now })
  const agreement = new Agreement({ ...storage, ledger, pool, now, warn })
  const failover = new Failover({ ...storage, ledger, pool, now, warn })
  const refresher = new Refresher({ ...storage, ledger, agreement, failover, pool, now })
  const renderings = new Renderings({ ...storage, pool, now })
  const proxy = new Proxy({ ...storage, sources, refresher, renderings, settings, warn, now })
  const cache = new TarballCache({ files: storage.tarballs, warn })
  const tiles = new TileStore(store, () => log.published)
  const records = new Records({ log, store, tiles, vkey, sources, packages, proxy, base })
  const report = { logger, fatal: exitOnFatal(logger) }
  const app = buildApp({
    proxy,
    tarballs: new Tarballs({ sources, packages, incidents, proxy, cache, base, now, warn }),
    bodies: new Bodies(files),
    home: homeRoute({ version, publicUrl: base, vkey }),
    prefix: new URL(base).pathname.replace(/\/$/, ''),
    report,
    records,
    goRecords: new GoRecords({ records, log, signer }),
    explanations: new Explanations(incidents, sources),
    passing: new Passing(sources),
    parties: new TrustedParties({
      ...storage,
      stateOf: origin => fetcher.stateOf(origin),
      publicUrl: base,
      vkey,
    }),
    checks: [{ name: 'log', check: () => void store.readState() }],
  })
  return { app, proxy, report }
}

function randomSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_BYTES))
}

/** The upstream `npm`: made on the first start; `--upstream` replaces its URL. */
function settleFirstUpstream({ upstreams, documents }: Storage, config: Config): void {
  const url = config.upstreamUrl ?? defaultRegistryUrl()
  const known = upstreams.get(FIRST_UPSTREAM)
  if (known?.url === url) return
  if (known !== null) {
    upstreams.change(FIRST_UPSTREAM, { url })
    // Another address is another word for what a package is: nothing cached of the old one counts.
    documents.clear()
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

/** After a failed commit nobody knows what is on disk: this process must not sign anything more. */
function exitOnFatal(logger: pino.Logger): (error: unknown) => void {
  return error => {
    if (!(error instanceof LogFatalError)) return
    logger.fatal({ err: error }, 'the log cannot be written any more; stopping')
    process.exit(EXIT_FATAL)
  }
}
