/**
 * Which registry of a server a project installs from. `https://registry.example/~/acme/` is the
 * registry `acme` of that server alone (routes/views.ts), whatever its table of names says: two
 * registries may have the same name and version, each with a record of its own.
 *
 * Only the project's settings say which one is meant. A lockfile comes with a pull request: if a URL
 * in it could choose, it would choose whoever's package suits it. So what it says is compared with
 * the settings, and never followed.
 *
 * @module
 */
import { normalize } from 'node:path/posix'
import { LogUnreachable, type LogOps } from '../log/client.ts'
import type { LockfileEntry } from '../registries/lockfile/lockfile-entry.ts'
import type { NpmSettings } from '../registries/lockfile/npmrc.ts'
import { CONTENT_SCOPE } from '../registries/name.ts'
import { httpReader, LogHttpError, type Pace, type RegistryReader } from './log-http.ts'

const LENS = '~/'

/** Where an entry comes from, in the words of the settings and of the lockfile. */
export type Origin = {
  /** The registry that the settings name for it. */
  setting: string | null
  /** The `<upstream>` of the settings' `<log>~/<upstream>/`. */
  upstream: string | null
  /** That of its URL in the lockfile. */
  lockfileUpstream: string | null
}

/** What `verify` asks, of the registry that it means. @property namespaces by upstream */
export type Asking = {
  ops: LogOps
  namespaces: ReadonlyMap<string, string>
  /** @param namespace of a registry to ask alone */
  readerOf: (namespace: string | undefined) => RegistryReader
}

/** The URL of one registry alone. */
export function lensUrl(log: string, upstream: string): string {
  return `${log}${LENS}${encodeURIComponent(upstream)}/`
}

/** Where the log of a registry is that settings name: one registry alone has that of its server. */
function logOf(registry: string): string {
  const url = new URL(registry)
  url.pathname = url.pathname.replace(/\/~\/[^/]+\/$/, '/')
  return url.href
}

/** The log that the settings lead to; undefined when they name none, or several. */
export function logOfSettings({ registry, scopes }: NpmSettings): string | undefined {
  if (registry !== null) return logOf(registry.url)
  // Scopes alone say where the log is only where one of its registries is named for them.
  const alone = [...scopes.values()].filter(({ url }) => logOf(url) !== url)
  const [log, ...others] = new Set(alone.map(({ url }) => logOf(url)))
  return others.length === 0 ? log : undefined
}

/** @param log URL of the log's server, ends in a slash */
export function originOf(entry: LockfileEntry, settings: NpmSettings, log: string): Origin {
  const { name, kind } = entry
  const scope = name.startsWith('@') ? name.slice(0, name.indexOf('/')) : ''
  const setting = (settings.scopes.get(scope) ?? settings.registry)?.url ?? null
  // What comes from no registry, or names bytes and not a registry's version, is of none.
  if (kind === 'not-registry' || name.startsWith(CONTENT_SCOPE)) {
    return { setting, upstream: null, lockfileUpstream: null }
  }
  const named = setting === null ? undefined : below(setting, log, log)
  const found = below(entry.resolved ?? entry.archive ?? '', log, setting ?? log)
  return {
    setting,
    upstream: named?.rest === '' ? named.upstream : null,
    lockfileUpstream: found?.upstream ?? null,
  }
}

/** Asks the server which registries it has, where that matters for one of these. */
export async function prepareAsking(
  origins: readonly Origin[],
  log: { url: string; reader: RegistryReader; pace: Pace | undefined },
): Promise<Asking> {
  const { url, reader, pace } = log
  const matters = origins.some(origin => (origin.upstream ?? origin.lockfileUpstream) !== null)
  const namespaces = matters ? await readNamespaces(reader) : new Map<string, string>()
  // Below its own URL a registry is asked for what is not recorded yet, also where it owns no name.
  const alone = new Map(
    [...namespaces].map(([upstream, namespace]) => {
      return [namespace, httpReader(lensUrl(url, upstream), pace)] as const
    }),
  )
  const readerOf = (namespace: string | undefined) =>
    (namespace === undefined ? undefined : alone.get(namespace)) ?? reader
  const lookup: LogOps['lookup'] = (name, version, namespace) =>
    readerOf(namespace).ops.lookup(name, version, namespace)
  return { ops: { ...reader.ops, lookup }, namespaces, readerOf }
}

async function readNamespaces(reader: RegistryReader): Promise<Map<string, string>> {
  try {
    return await reader.readNamespaces()
  } catch (error) {
    if (!(error instanceof LogHttpError)) throw error
    throw new LogUnreachable('cannot read which registries the server has', { cause: error })
  }
}

/** What of a URL stands below `<log>~/`, if it is there. @param from what it may be relative to */
function below(
  text: string,
  log: string,
  from: string,
): { upstream: string; rest: string } | undefined {
  const url = text === '' ? null : URL.parse(text, from)
  // One server answers to http and https, or sends from one to the other.
  if (url === null || !/^https?:$/.test(url.protocol) || url.host !== new URL(log).host) {
    return undefined
  }
  const [path, lenses] = [pathOf(url), `${pathOf(new URL(log))}${LENS}`]
  if (!path.startsWith(lenses)) return undefined
  const [upstream = '', ...rest] = path.slice(lenses.length).split('/')
  return upstream === '' ? undefined : { upstream, rest: rest.join('/') }
}

/** The path as the server may come to see it: servers, and what stands before them, tidy paths. */
function pathOf({ pathname }: URL): string {
  const ascii = pathname.replace(/%([2-7][\da-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return normalize(ascii)
}
