/**
 * What an operator may ask for: the shapes of the operations on upstreams, and the row that comes
 * of a request, with its defaults. Pure; what the rows must be among one another is checked where
 * they are saved (upstream-admin.ts), what a server answers in probe.ts.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import type { UpstreamRow } from '../../db/upstreams.ts'
import { LeafError } from '../../log/errors.ts'
import { checkNamespace } from '../../log/leaf.ts'
import { RegistryError } from '../errors.ts'
import { SecretShape } from './upstream-secret.ts'

/** What the first upstream is called, and its namespace: nobody else may have either. */
export const FIRST_UPSTREAM = 'npm'

/** A name of a person's choice that fits a table, a URL and a command line. */
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?$/
const URL_CHARS_MAX = 2048
/** As authority.ts bounds the table. */
const PATTERNS_MAX = 10_000
const PATTERN_CHARS_MAX = 256
/** A registry has one or two stores; more would be a list of strangers. */
const TARBALL_ORIGINS_MAX = 16
/** Fingerprints: keys.ts takes no more keys than this. */
const CONFIRM_MAX = 64

const Words = Type.Array(Type.String({ maxLength: PATTERN_CHARS_MAX }), { maxItems: PATTERNS_MAX })
const Settings = {
  names: Type.Optional(Words),
  namespace: Type.Optional(Type.String({ maxLength: 300 })),
  signatures: Type.Optional(
    Type.Union([Type.Literal('auto'), Type.Literal('require'), Type.Literal('off')]),
  ),
  tarballs: Type.Optional(
    Type.Union([
      Type.Literal('canonical'),
      Type.Literal('redirect'),
      Type.Literal('upstream'),
      Type.Literal('stream'),
      Type.Literal('cache'),
    ]),
  ),
  /** Look into tarballs before versions are offered (strict.ts). */
  strict: Type.Optional(Type.Boolean()),
  /** It re-issues the bytes of versions (revisions.ts). */
  revisions: Type.Optional(Type.Boolean()),
  /** Further origins that may send its tarballs. */
  tarballOrigins: Type.Optional(
    Type.Array(Type.String({ maxLength: URL_CHARS_MAX }), { maxItems: TARBALL_ORIGINS_MAX }),
  ),
  /** A package to look at before anything is saved. */
  sample: Type.Optional(Type.String({ maxLength: PATTERN_CHARS_MAX })),
}
const Url = Type.String({ minLength: 1, maxLength: URL_CHARS_MAX })

/** Adding an upstream. */
export const NewUpstreamShape = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100 }),
    url: Url,
    kind: Type.Optional(Type.Union([Type.Literal('registry'), Type.Literal('mirror')])),
    /** The registry that a mirror belongs to. */
    of: Type.Optional(Type.String({ maxLength: 100 })),
    secret: Type.Optional(SecretShape),
    ...Settings,
  },
  { additionalProperties: false },
)
export type NewUpstream = Static<typeof NewUpstreamShape>

/** Changing one; what is absent stays. `secret: null` takes the credential away. */
export const UpstreamSettingsShape = Type.Object(
  {
    url: Type.Optional(Url),
    secret: Type.Optional(Type.Union([SecretShape, Type.Null()])),
    ...Settings,
  },
  { additionalProperties: false },
)
export type UpstreamSettings = Static<typeof UpstreamSettingsShape>

/** The fingerprints that the operator saw and agreed to; empty for a registry without keys. */
export const ConfirmShape = Type.Array(Type.String({ maxLength: 128 }), { maxItems: CONFIRM_MAX })

/** A row as it is added. */
export type NewRow = Omit<UpstreamRow, 'signsSince' | 'edition'>

/** The row of a request. @param registry the row that a mirror belongs to @throws RegistryError */
export function rowOf(asked: NewUpstream, registry: UpstreamRow | null, created: string): NewRow {
  const { name, kind = 'registry' } = asked
  if (!NAME.test(name)) {
    throw refused(`${JSON.stringify(name)} is no name: use a to z, digits, dots and dashes`)
  }
  const url = normalUrl(asked.url)
  const tarballOrigins = originsOf(asked.tarballOrigins ?? [])
  const base = { name, url, kind, created, strictSince: null, tarballOrigins, revisions: false }
  if (kind === 'mirror') return { ...base, ...mirrorFields(asked, registry) }
  if (asked.of !== undefined) throw refused('only a mirror belongs to another registry')
  if (asked.names === undefined || asked.names.length === 0) {
    throw refused(`${name} must say which names it owns, as @${name}/* (only npm owns the rest)`)
  }
  return {
    ...base,
    mirrorOf: null,
    namespace: namespaceOf(name, asked.namespace ?? new URL(url).host),
    names: asked.names,
    signatures: asked.signatures ?? 'auto',
    tarballs: asked.tarballs ?? (isClosed(asked) ? 'stream' : 'redirect'),
    strictSince: asked.strict === true ? created : null,
    revisions: asked.revisions === true,
  }
}

/** A client that were sent on to such a registry would not be let in: its bytes pass through here. */
function isClosed({ secret }: NewUpstream): boolean {
  const { token, basic, certificate } = secret ?? {}
  return token !== undefined || basic !== undefined || certificate !== undefined
}

function mirrorFields(asked: NewUpstream, registry: UpstreamRow | null) {
  if (asked.of === undefined) throw refused('a mirror must say which registry it is a mirror of')
  if (registry?.kind !== 'registry') throw refused(`there is no registry ${asked.of}`)
  assertForMirror(asked)
  const { namespace, signatures, tarballs } = registry
  return { mirrorOf: registry.name, namespace, names: [], signatures, tarballs }
}

const OF_REGISTRIES = [
  'names',
  'namespace',
  'signatures',
  'tarballs',
  'strict',
  'revisions',
] as const

/** What a mirror serves is judged by its registry's settings: it has none of its own. */
export function assertForMirror(asked: UpstreamSettings | NewUpstream): void {
  for (const field of OF_REGISTRIES) {
    if (asked[field] === undefined) continue
    throw refused(`a mirror has no ${field} of its own: those of its registry count`)
  }
}

/** Origins in the form that they are compared in, each once. @throws RegistryError bad-request */
export function originsOf(given: readonly string[]): string[] {
  const origins = given.map(text => {
    const url = URL.parse(text)
    const isOrigin = url !== null && (url.origin === text || `${url.origin}/` === text)
    if (isOrigin && (url.protocol === 'https:' || isLoopback(url))) return url.origin
    // It is not repeated, and neither is a URL below: there may be a password in it.
    throw refused('what is given is no origin, as https://files.example is')
  })
  return [...new Set(origins)]
}

function isLoopback({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname)
}

/** Checks the namespace of an upstream. @throws RegistryError bad-request */
export function namespaceOf(name: string, namespace: string): string {
  if (namespace === FIRST_UPSTREAM && name !== FIRST_UPSTREAM) {
    throw refused('the namespace npm means the public npm registry and can be nobody else')
  }
  try {
    checkNamespace(namespace)
  } catch (error) {
    if (!(error instanceof LeafError)) throw error
    throw refused(`${JSON.stringify(namespace)} is no namespace: name the host of the registry`)
  }
  return namespace
}

/** The URL in the one form that rows have: with a slash at its end. The rest upstream.ts checks. */
export function normalUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null) throw refused('what is given is no URL, as https://registry.example/ is')
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url.href
}

function refused(why: string): RegistryError {
  return new RegistryError('bad-request', why)
}
