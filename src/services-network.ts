/**
 * What asks other servers: the outbound client, the sources made of the configured upstreams, and
 * the Workers that read what they answer.
 * @module
 */
import type { Config } from './config.ts'
import { Fetcher } from './registries/fetch/fetcher.ts'
import { PROBE_LIMITS } from './registries/sources/mirror.ts'
import { PackumentPool } from './registries/packument/packument-pool.ts'
import { SourceFactory } from './registries/sources/source-factory.ts'
import { openHouse } from './services-hosted.ts'
import { version } from './version.ts'
import { now, type Storage } from './services-storage.ts'

/** What asks others, and what is asked. */
export type Network = ReturnType<typeof openNetwork>

/** Opens it. Nothing is asked before somebody needs it. */
export function openNetwork(
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
