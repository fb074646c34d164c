/**
 * Everything that answers over HTTP, built in order: what is read, what lives here, who manages it.
 * @module
 */
import type pino from 'pino'
import type { Config } from './config.ts'
import { TileStore } from './db/tile-store.ts'
import { LogFatalError } from './log/log.ts'
import { Agreement } from './registries/reading/agreement.ts'
import { Bodies } from './registries/bodies.ts'
import { Cosigner } from './registries/reading/cosign.ts'
import { defaultRegistryUrl } from './registries/default-registry.ts'
import { Explanations } from './registries/reading/explanations.ts'
import { Failover } from './registries/reading/failover.ts'
import { GoRecords } from './registries/reading/go-records.ts'
import { KeptDocuments } from './registries/reading/kept-documents.ts'
import { Ledger } from './registries/reading/ledger.ts'
import { Refresher } from './registries/reading/refresher.ts'
import { TarballCache } from './registries/reading/tarball-cache.ts'
import { SharedRefresher } from './registries/reading/views-refresh.ts'
import { buildApp } from './routes/app.ts'
import { makeGuard } from './routes/private.ts'
import { homeRoute } from './routes/home.ts'
import type { makeAccounts } from './services-accounts.ts'
import { makeApi } from './services-api.ts'
import { makeUpstreamAdmin, socketActor } from './services-admin.ts'
import { buildBackground } from './services-background.ts'
import { buildHosting, cleanUp } from './services-hosted.ts'
import { makeOidc } from './services-oidc.ts'
import { makeOperator } from './services-operator.ts'
import { makeViewAdmin, Readings, type ReadingParts } from './services-views.ts'
import { makePeople, type PeopleNeeds } from './services-teams.ts'
import { version } from './version.ts'
import type { Network } from './services-network.ts'
import { now, type Storage } from './services-storage.ts'

/** Exit code of a process whose log can no longer be written: the next start finds out what is true. */
const EXIT_FATAL = 70

/** What the surfaces are built of, besides the configuration. @property stack ends them */
export type SurfaceParts = {
  config: Config
  storage: Storage
  network: Network
  accounts: ReturnType<typeof makeAccounts>
  logger: pino.Logger
  stack: AsyncDisposableStack
}

/** Everything that answers over HTTP, and the operations behind it. */
export function buildSurface(parts: SurfaceParts) {
  const { config, storage, accounts } = parts
  const { fetcher, factory, house, pool } = parts.network
  const { sources } = factory
  const base = config.publicUrl
  const warn = (text: string) => parts.logger.warn(text)
  const { shared, report, hosting, readings, requests, metrics } = buildReadings(parts)
  const reading = readings.everybodys()
  const { vkey, signer } = storage.logKey
  const forgetHeld = () => shared.forget()
  const admin = { ...storage, fetcher, factory, pool, now, warn, forgetHeld }
  const upstreams = makeUpstreamAdmin(admin, socketActor())
  const told = {
    replan: () => shared.replan(),
    recheck: (name: string) => shared.changed(name),
    ensureRecent: (name: string) => reading.proxy.ensureRecent(name),
  }
  const operator = makeOperator({ ...admin, ...told }, socketActor())
  const viewsChanged = () => {
    storage.policy.reload()
    readings.reload()
  }
  const viewAdmin = makeViewAdmin({ ...storage, now, viewsChanged }, socketActor())
  const reachesOrg: PeopleNeeds['reachesOrg'] = (identity, org) =>
    accounts.accounts.reachesOrg(identity, org)
  const living = { ...storage, ...house, ...reading, ...hosting, now, warn, reachesOrg }
  const app = buildApp({
    ...reading,
    ...accounts,
    ...makePeople(living),
    ...makeOidc({ ...storage, ...house, ...accounts, access: hosting.access, fetcher, base, now }),
    hosting,
    sources,
    base,
    now,
    api: makeApi({ ...admin, ...reading, ...accounts, upstreams, operator, viewAdmin, base, vkey }),
    surfaces: readings,
    goRecords: new GoRecords({ records: reading.records, log: storage.log, signer }),
    requests,
    metrics,
  })
  return { app, upstreams, operator, viewAdmin, report }
}

/** Everything that is read, for everybody and through views; and what lives here. */
function buildReadings({ config, storage, network, accounts, logger, stack }: SurfaceParts) {
  const { fetcher, factory, house, pool } = network
  const base = config.publicUrl
  const { log, store, files, contents } = storage
  const { vkey } = storage.logKey
  const canonicalOrigin = new URL(defaultRegistryUrl()).origin
  const settings = { ...storage, base, canonicalOrigin, cosigner: new Cosigner(storage) }
  const warn = (text: string) => logger.warn(text)
  const changed = (name: string) => shared.changed(name)
  const noted = (sha256: string, integrity: string) => contents.note(sha256, integrity)
  const watched = { ...storage, config, fetcher, logger, now, changed, noted }
  const background = buildBackground(watched, stack)
  const { places, requests } = background
  const ledger = new Ledger({ ...storage, base, now })
  const agreement = new Agreement({ ...storage, ledger, places, pool, now, warn })
  const failover = new Failover({ ...storage, ledger, pool, now, warn })
  const kept = new KeptDocuments({ ...storage, pool })
  const refresher = new Refresher({ ...storage, kept, ledger, agreement, failover, pool, now })
  const shared = new SharedRefresher(refresher)
  const refused = (reason: string) => requests.refused(reason)
  const report = { logger, base, fatal: exitOnFatal(logger), refused }
  const hosting = buildHosting({ ...storage, ...house, factory, publicUrl: base, now })
  cleanUp(hosting, stack, warn)
  const parts: ReadingParts = {
    ...storage,
    ...background,
    kept,
    pool,
    settings,
    shared,
    report,
    vkey,
    warn,
    now,
    guard: makeGuard(hosting.access, accounts.who),
    cache: new TarballCache({ files: storage.tarballs, warn }),
    tiles: new TileStore(store, () => log.published),
    bodies: new Bodies(files),
    home: homeRoute({ version, publicUrl: base, vkey }),
    explanationsOf: (of, reader) =>
      new Explanations({ ...storage, ...background, sources: of, reader }),
    stateOf: origin => fetcher.stateOf(origin),
    checks: [{ name: 'log', check: () => void store.readState() }],
  }
  const readings = new Readings({ parts, sources: factory.sources, views: storage.views })
  return { ...background, shared, report, hosting, readings }
}

/** After a failed commit nobody knows what is on disk: this process must not sign anything more. */
function exitOnFatal(logger: pino.Logger): (error: unknown) => void {
  return error => {
    if (!(error instanceof LogFatalError)) return
    logger.fatal({ err: error }, 'the log cannot be written any more; stopping')
    process.exit(EXIT_FATAL)
  }
}
