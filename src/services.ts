/**
 * Builds every object once, in order, and ends them in the reverse order. Above the rooms: it is
 * the only place that knows how they fit together. No two-step init: what is built is complete.
 * @module
 */
import pino from 'pino'
import type { Config } from './config.ts'
import { ApplyAdmin } from './registries/operator/apply-admin.ts'
import type { Operations } from './registries/operator/operations.ts'
import { type RouteScope, scopesOf } from './routes/app.ts'
import { setupLink } from './routes/setup.ts'
import { makeAccounts } from './services-accounts.ts'
import { listenControl, makeUpstreamAdmin, socketActor } from './services-admin.ts'
import { HOSTED } from './registries/hosted/hosted-upstream.ts'
import { makeOperator, NOBODY_SERVES } from './services-operator.ts'
import { makeViewAdmin } from './services-views.ts'
import { openNetwork } from './services-network.ts'
import { now, openStorage, settleFirstUpstream, type Storage } from './services-storage.ts'
import { buildSurface } from './services-surface.ts'

/** As `serve` says it. */
const SIGNS = { signed: 'yes', unsigned: 'no', unknown: 'unknown' } as const

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

/** Builds everything for one data dir. @throws LockedError when another process has it */
export async function buildServices(config: Config): Promise<Services> {
  await using stack = new AsyncDisposableStack()
  const logger = pino({ level: config.logLevel }, pino.destination({ fd: 2, sync: true }))
  const warn = (text: string) => logger.warn(text)
  const storage = openStorage(config, stack, warn)
  settleFirstUpstream(storage, config)
  const network = openNetwork(config, storage, stack, warn)
  const accounts = accountsOf(config, storage, warn, socketActor())
  const { app, upstreams, operator, viewAdmin, report } = buildSurface({
    config,
    storage,
    network,
    accounts,
    logger,
    stack,
  })
  const admins = { upstreams, accounts: accounts.accountAdmin, views: viewAdmin }
  const applying = new ApplyAdmin({ db: storage.db, upstreams, policy: operator.policy })
  const operations = { ...admins, ...operator, config: applying }
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
      signs: name === HOSTED ? 'yes' : SIGNS[trust.signing],
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
  const storage = openStorage(config, stack, warn)
  const network = openNetwork(config, storage, stack, warn)
  const parts = { ...storage, ...network, now, warn, forgetHeld: () => undefined }
  const upstreams = makeUpstreamAdmin(parts, 'cli')
  const operator = makeOperator({ ...parts, ...NOBODY_SERVES }, 'cli')
  const accounts = accountsOf(config, storage, warn, 'cli').accountAdmin
  const kept = stack.move()
  const views = makeViewAdmin({ ...storage, now, viewsChanged: () => undefined }, 'cli')
  return {
    upstreams,
    ...operator,
    config: new ApplyAdmin({ db: storage.db, upstreams, policy: operator.policy }),
    accounts,
    views,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
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
