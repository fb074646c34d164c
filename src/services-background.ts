/**
 * What goes on beside answering: tarballs are sampled, versions of strict registries looked into,
 * incidents told, and all of it counted. Built in two parts, because serving needs the first and the
 * second counts what serves.
 * @module
 */
import type pino from 'pino'
import type { Config } from './config.ts'
import type { CacheFiles } from './db/cache-files.ts'
import type { Documents } from './db/documents.ts'
import type { Incidents } from './db/incidents.ts'
import type { Packages } from './db/packages.ts'
import type { RegistryDb } from './db/registry-db.ts'
import type { Tokens } from './db/accounts.ts'
import { Samples } from './db/samples.ts'
import { WaitingMessages } from './db/waiting-messages.ts'
import { TrustedPublishers } from './db/trusted-publishers.ts'
import type { Upstreams } from './db/upstreams.ts'
import { parseLeaf } from './log/leaf.ts'
import type { Log, LogStore } from './log/log.ts'
import { type Alert, Alerts } from './registries/metrics/alerts.ts'
import { Expiry } from './registries/accounts/expiry.ts'
import { Outbox } from './registries/metrics/alerts-outbox.ts'
import { Webhook } from './registries/metrics/alerts-webhook.ts'
import type { Fetcher } from './registries/fetch/fetcher.ts'
import { Metrics } from './registries/metrics/metrics.ts'
import { RequestCounts } from './registries/metrics/metrics-requests.ts'
import { Sampler, SAMPLER_PACE, type SamplerPace } from './registries/sampler/sampler.ts'
import { TarballChecker, type TarballCheckerNeeds } from './registries/sampler/sampler-check.ts'
import { Strict } from './registries/sampler/strict.ts'
import { Places } from './registries/sources/tarball-location.ts'
import { SURFACES } from './routes/metrics.ts'
import { version } from './version.ts'

/** Records looked through for the time of the newest one: keys and marks carry none. */
const UNDATED_MAX = 64

/** What the work in the background needs of the rest. */
export type BackgroundNeeds = {
  config: Config
  db: RegistryDb
  log: Log
  store: LogStore
  packages: Packages
  incidents: Incidents
  upstreams: Upstreams
  tokens: Tokens
  documents: Documents
  files: CacheFiles
  tarballs: CacheFiles
  fetcher: Fetcher
  logger: pino.Logger
  now: () => Date
  /** The versions of a package are judged anew. */
  changed: (name: string) => void
  /** Told of bytes that were just verified. */
  noted: TarballCheckerNeeds['noted']
  pace?: SamplerPace
}

/** Builds it. @param stack ends it */
export function buildBackground(needs: BackgroundNeeds, stack: AsyncDisposableStack) {
  const { config, db, incidents, logger, now, pace = SAMPLER_PACE } = needs
  const warn = (text: string) => logger.warn(text)
  stack.use(new Expiry({ ...needs, publishers: new TrustedPublishers(db), warn }))
  const samples = new Samples(db)
  const places = new Places(samples, now)
  const checker = new TarballChecker({ ...needs, samples, places, warn })
  const sampler = stack.use(new Sampler({ samples, checker, now, pace }))
  const strict = stack.use(new Strict({ ...needs, samples, checker, warn }))
  const told = buildWebhook(needs, stack)
  const webhook = told?.webhook ?? null
  const alerts = stack.use(
    new Alerts({
      incidents,
      base: config.publicUrl,
      say: alert => logger.warn({ alert: shownInLog(alert) }, alert.sentence),
      webhook: told && { outbox: told.outbox, send: alert => told.webhook.send(alert) },
    }),
  )
  alerts.resume()
  const requests = new RequestCounts(SURFACES)
  const metrics = stack.use(
    new Metrics({
      ...needs,
      version,
      requests,
      alerts,
      sampler,
      strict,
      webhook,
      newestSeconds: () => newestSeconds(needs),
      cacheBytes: () => ({
        documents: needs.documents.bytes(),
        files: needs.files.bytes,
        tarballs: needs.tarballs.bytes,
      }),
    }),
  )
  return { samples, places, sampler, strict, requests, metrics }
}

/** Null: nobody wants to be told. */
function buildWebhook(needs: BackgroundNeeds, stack: AsyncDisposableStack) {
  const { db, now, logger } = needs
  const settings = needs.config.webhook
  if (settings === null) return null
  const warn = (text: string) => logger.warn(text)
  const messages = new WaitingMessages(db)
  const outbox = new Outbox({ messages, url: settings.url, now, warn })
  const ended = (id: string) => outbox.ended(id)
  return { outbox, webhook: stack.use(new Webhook({ ...needs, ...settings, warn, ended })) }
}

function shownInLog({ id, code, namespace, url }: Alert) {
  return { id, code, namespace, url }
}

/** When the newest record was made, as far as the last few say. */
function newestSeconds({ log, store }: BackgroundNeeds): number | null {
  const leaves = store.readLeaves(Math.max(0, log.size - UNDATED_MAX), log.size)
  for (const bytes of leaves.toReversed()) {
    const leaf = parseLeaf(bytes)
    if (leaf.kind === 'version') return Date.parse(leaf.seen) / 1000
  }
  return null
}
