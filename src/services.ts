/**
 * Builds every object once, in order, and ends them in the reverse order. Above the rooms: it is
 * the only place that knows how they fit together. No two-step init: what is built is complete.
 * @module
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import type { Config } from './config.ts'
import { Tokens, Users } from './db/accounts.ts'
import { CacheFiles } from './db/cache-files.ts'
import { Contents } from './db/contents.ts'
import { Disputes } from './db/disputes.ts'
import { Documents } from './db/documents.ts'
import { Incidents } from './db/incidents.ts'
import { openLogKey, readOrMakeKey, settleNextKey } from './db/keys.ts'
import { lockDataDir } from './db/lock.ts'
import { SqliteLogStore } from './db/log-store.ts'
import { openCache, openRegistry, registryPath } from './db/open.ts'
import { Packages } from './db/packages.ts'
import { PolicyRules, Provenances } from './db/policy-rules.ts'
import { Resolutions } from './db/resolutions.ts'
import { checkRestored } from './db/restoring.ts'
import { Secrets } from './db/secrets.ts'
import { Teams } from './db/teams.ts'
import { TileStore } from './db/tile-store.ts'
import { Upstreams } from './db/upstreams.ts'
import { Views } from './db/views.ts'
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
import type { Operations } from './registries/operations.ts'
import { generateSigningKey, isKept, OWN_KEY_FILE, OwnKeys } from './registries/own-key.ts'
import { PackumentPool } from './registries/packument-pool.ts'
import { Policy } from './registries/policy.ts'
import { Refresher } from './registries/refresher.ts'
import { SourceFactory } from './registries/source-factory.ts'
import { TarballCache } from './registries/tarball-cache.ts'
import { FIRST_UPSTREAM } from './registries/upstream-request.ts'
import { SharedRefresher } from './registries/views-refresh.ts'
import { buildApp, type RouteScope, scopesOf } from './routes/app.ts'
import { makeGuard } from './routes/private.ts'
import { homeRoute } from './routes/home.ts'
import { setupLink } from './routes/setup.ts'
import { makeAccounts } from './services-accounts.ts'
import { makeApi } from './services-api.ts'
import { listenControl, makeUpstreamAdmin, socketActor } from './services-admin.ts'
import { buildBackground } from './services-background.ts'
import { buildHosting, cleanUp, openHouse } from './services-hosted.ts'
import { makeOidc } from './services-oidc.ts'
import { makeOperator, NOBODY_SERVES } from './services-operator.ts'
import { makeViewAdmin, Readings, type ReadingParts } from './services-views.ts'
import { makePeople } from './services-teams.ts'
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
  /** Where the first admin is made; null when there is one. */
  readonly setupUrl: string | null
  readonly upstreams: readonly { name: string; url: string; signs: 'yes' | 'no' | 'unknown' }[]
  listen(): void
  /** Every route with the scope that it declares; null: it declares none. */
  routes(): RouteScope[]
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
  const network = openNetwork(config, storage, stack, warn)
  const accounts = accountsOf(config, storage, warn, socketActor())
  const { app, upstreams, operator, viewAdmin, report } = buildSurface(
    config,
    storage,
    network,
    accounts,
    logger,
    stack,
  )
  const admins = { upstreams, accounts: accounts.accountAdmin, views: viewAdmin }
  const operations = { ...admins, ...operator }
  stack.defer(async () => {
    if (app.server !== null) await app.stop()
  })
  const setup = accounts.firstAdmin.begin()
  const kept = stack.move()
  return {
    setupUrl: setup === null ? null : setupLink(config.publicUrl, setup),
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
        kept.use(listenControl(config.dataDir, { operations, report }))
      } catch (error) {
        // Sockets allow some hundred bytes of path. Packages are served all the same.
        warn(`no control socket, so commands need the server stopped: ${String(error)}`)
      }
    },
    routes: () => scopesOf(app),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** The operations on a data dir that no server has open. @throws LockedError */
export async function openOperations(
  config: Config,
  warn: (message: string) => void,
): Promise<Operations & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const storage = openStorage(config, stack)
  const network = openNetwork(config, storage, stack, warn)
  const parts = { ...storage, ...network, now, warn, forgetHeld: () => undefined }
  const upstreams = makeUpstreamAdmin(parts, 'cli')
  const operator = makeOperator({ ...parts, ...NOBODY_SERVES }, 'cli')
  const accounts = accountsOf(config, storage, warn, 'cli').accountAdmin
  const kept = stack.move()
  const views = makeViewAdmin({ ...storage, now, viewsChanged: () => undefined }, 'cli')
  return { upstreams, ...operator, accounts, views, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** What asks others, and what is asked. */
function openNetwork(
  { publicUrl }: Config,
  storage: Storage,
  stack: AsyncDisposableStack,
  warn: (message: string) => void,
) {
  const userAgent = `npmx-registry/${version}`
  const fetcher = new Fetcher({ userAgent })
  const probes = new Fetcher({ userAgent, limits: PROBE_LIMITS })
  const house = openHouse({ ...storage, publicUrl, origin: storage.log.origin, now })
  const factory = new SourceFactory({ ...storage, ...house, fetcher, probes, now, warn })
  return { fetcher, factory, house, pool: stack.use(new PackumentPool()) }
}

/** @param actor who is written into the audit trail of operations */
function accountsOf(
  config: Config,
  storage: Storage,
  warn: (message: string) => void,
  actor: string,
) {
  const hasView = (name: string) => storage.views.get(name) !== null
  return makeAccounts(config, { ...storage, hasView, now, warn }, actor)
}

function openStorage(config: Config, stack: AsyncDisposableStack) {
  const { dataDir } = config
  const dataDirIsNew = !existsSync(registryPath(dataDir))
  stack.use(lockDataDir(dataDir, process.pid))
  checkRestored(dataDir)
  const db = stack.use(openRegistry(dataDir))
  const documents = new Documents(stack.use(openCache(dataDir)))
  const upstreams = new Upstreams(db)
  const policyRules = new PolicyRules(db)
  const store = new SqliteLogStore(db, dataDir)
  const origin = `${new URL(config.publicUrl).host}/log`
  const logKey = openLogKey(dataDir, origin, store.readState() !== null, randomSeed)
  settleNextKey(dataDir, OWN_KEY_FILE, pem => isKept(upstreams, pem))
  return {
    dataDir,
    dataDirIsNew,
    db,
    documents,
    upstreams,
    secrets: new Secrets(db, dataDir),
    store,
    logKey,
    log: Log.open(store, logKey.signer),
    ownKeys: new OwnKeys(
      readOrMakeKey(dataDir, OWN_KEY_FILE, generateSigningKey),
      upstreams,
      timestamp(now()),
    ),
    packages: new Packages(db),
    incidents: new Incidents(db),
    disputes: new Disputes(db),
    resolutions: new Resolutions(db),
    policyRules,
    policy: new Policy({ policyRules, provenances: new Provenances(db), now }),
    views: new Views(db),
    contents: new Contents(db),
    users: new Users(db),
    tokens: new Tokens(db),
    teams: new Teams(db),
    files: new CacheFiles(join(dataDir, 'cache', 'files')),
    tarballs: new CacheFiles(join(dataDir, 'cache', 'tarballs'), TARBALL_CACHE_BYTES_MAX),
  }
}

function buildSurface(
  config: Config,
  storage: Storage,
  { fetcher, factory, house, pool }: ReturnType<typeof openNetwork>,
  accounts: ReturnType<typeof makeAccounts>,
  logger: pino.Logger,
  stack: AsyncDisposableStack,
) {
  const { sources } = factory
  const base = config.publicUrl
  const { log, store, files, contents } = storage
  const { vkey, signer } = storage.logKey
  const canonicalOrigin = new URL(defaultRegistryUrl()).origin
  const settings = { ...storage, base, canonicalOrigin, cosigner: new Cosigner(storage) }
  const warn = (text: string) => logger.warn(text)
  const changed = (name: string) => shared.changed(name)
  const noted = (sha256: string, integrity: string) => contents.note(sha256, integrity)
  const background = buildBackground(
    { ...storage, config, fetcher, logger, now, changed, noted },
    stack,
  )
  const { places, requests, metrics } = background
  const ledger = new Ledger({ ...storage, base, now })
  const agreement = new Agreement({ ...storage, ledger, places, pool, now, warn })
  const failover = new Failover({ ...storage, ledger, pool, now, warn })
  const refresher = new Refresher({ ...storage, ledger, agreement, failover, pool, now })
  const shared = new SharedRefresher(refresher)
  const refused = (reason: string) => requests.refused(reason)
  const report = { logger, fatal: exitOnFatal(logger), refused }
  const hosting = buildHosting({ ...storage, ...house, factory, publicUrl: base, now })
  cleanUp(hosting, stack, warn)
  const parts: ReadingParts = {
    guard: makeGuard(hosting.access, accounts.who),
    ...{ ...storage, ...background, pool, settings, shared, report, vkey, warn, now },
    cache: new TarballCache({ files: storage.tarballs, warn }),
    tiles: new TileStore(store, () => log.published),
    bodies: new Bodies(files),
    home: homeRoute({ version, publicUrl: base, vkey }),
    explanationsOf: (of, reader) =>
      new Explanations({ ...storage, ...background, sources: of, reader }),
    stateOf: origin => fetcher.stateOf(origin),
    checks: [{ name: 'log', check: () => void store.readState() }],
  }
  const readings = new Readings({ parts, sources, views: storage.views })
  const reading = readings.everybodys()
  const { records } = reading
  const forgetHeld = () => shared.forget()
  const admin = { ...storage, fetcher, factory, pool, now, warn, forgetHeld }
  const upstreams = makeUpstreamAdmin(admin, socketActor())
  const told = {
    replan: () => shared.replan(),
    recheck: changed,
    ensureRecent: (name: string) => reading.proxy.ensureRecent(name),
  }
  const operator = makeOperator({ ...admin, ...told }, socketActor())
  const viewsChanged = () => {
    storage.policy.reload()
    readings.reload()
  }
  const viewAdmin = makeViewAdmin({ ...storage, now, viewsChanged }, socketActor())
  const app = buildApp({
    ...reading,
    ...accounts,
    ...makePeople({
      ...{ ...storage, ...house, ...reading, ...hosting, now, warn },
      reachesOrg: (identity, org) => accounts.accounts.reachesOrg(identity, org),
    }),
    ...makeOidc({ ...storage, ...house, ...accounts, access: hosting.access, fetcher, base, now }),
    hosting,
    sources,
    base,
    now,
    api: makeApi({ ...admin, ...reading, ...accounts, upstreams, operator, viewAdmin, base, vkey }),
    surfaces: readings,
    goRecords: new GoRecords({ records, log, signer }),
    requests,
    metrics,
  })
  return { app, upstreams, operator, viewAdmin, report }
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
