/**
 * Where the numbers of `/-/metrics` come from.
 * @module
 */
import type { UpstreamRow } from '../../db/upstreams.ts'
import type { Alerts } from './alerts.ts'
import type { Webhook } from './alerts-webhook.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { RequestCounts } from './metrics-requests.ts'
import type { Sampler } from '../sampler/sampler.ts'
import type { Strict } from '../sampler/strict.ts'

/** Where the numbers come from. */
export type MetricsNeeds = {
  version: string
  requests: RequestCounts
  alerts: Alerts
  sampler: Sampler
  strict: Strict
  webhook: Webhook | null
  fetcher: Fetcher
  upstreams: { list(): UpstreamRow[] }
  log: { readonly size: number }
  /** Unix time of the newest record; null in an empty log. */
  newestSeconds: () => number | null
  /** Bytes of what may be wiped at any time, by kind. */
  cacheBytes: () => Record<string, number>
}
