/**
 * Who a registry is, by other ways than its own keys endpoint: TXT records of its domain, and its
 * DID document (did.ts). Whoever took over a web server has not taken over the zone.
 *
 *     _npm-registry.npm.acme.example.  TXT  "key=SHA256:uJhTwfi5GOjncfgSPbgi9M0rU+QBuH5so2Ig3Xw8PkU"
 *
 * One record for each key, named as `ssh-keygen -lf` and the keys endpoint name it; a record may
 * hold several, parted by spaces or `;`. Words other than `key=` are for later and say nothing. The
 * name is that of the host, without a port. Records may name keys that are not in use yet. Where
 * they name some of the published keys, the others are of registries behind this one, or of somebody
 * who should not be there, and are not taken; where they name none, that is a difference. No record
 * at all says nothing.
 *
 * Both are looked at when an operator adds a registry, and only then. No key is trusted for them.
 * @module
 */
import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { type Static, Type } from '@sinclair/typebox'
import { DID_BYTES_MAX, DID_PATH, identityOf } from '../keys/did.ts'
import { RegistryError } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { Site } from '../fetch/hops.ts'
import { within } from '../within.ts'

const LABEL = '_npm-registry'
/** A resolver that is silent for so long is not waited for: a person is waiting. */
const DNS_MS_MAX = 5_000
/** Records read of a host; keys.ts takes no more keys than this. */
const RECORDS_MAX = 64
const KEY_WORD = /^key=(SHA256:[A-Za-z0-9+/]{43})$/
/** How resolvers say that there is no such record. */
const ABSENT: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'NXDOMAIN', 'NODATA'])

/** TXT records of a name, each in its pieces. Rejects as node:dns does. */
export type ResolveTxt = (name: string) => Promise<string[][]>

/**
 * What one way says. `absent`: nothing; `same`: the keys that are published; `some`: not all of
 * them; `different`: others; `unknown`: it could not be asked or read, for the reason in `detail`.
 */
export const BindingShape = Type.Object({
  by: Type.Union([Type.Literal('dns'), Type.Literal('did')]),
  /** The name or URL that was asked. */
  at: Type.String(),
  state: Type.Union([
    Type.Literal('absent'),
    Type.Literal('same'),
    Type.Literal('some'),
    Type.Literal('different'),
    Type.Literal('unknown'),
  ]),
  keyids: Type.Array(Type.String()),
  detail: Type.String(),
})
export type Binding = Static<typeof BindingShape>

/** The usual resolver. Addresses and names of this machine have no zone to ask. */
export async function resolveTxt(name: string): Promise<string[][]> {
  const host = name.slice(LABEL.length + 1)
  if (isIP(host) !== 0 || /(?:^|\.)localhost$/.test(host)) return []
  return await new Resolver().resolveTxt(name)
}

/** What the domain says of these published keys. */
export async function dnsBinding(
  url: string,
  published: readonly string[],
  resolve: ResolveTxt,
): Promise<Binding> {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  const at = `${LABEL}.${host}`
  const said = { by: 'dns', at } as const
  let records: string[][] | undefined
  try {
    records = await within(resolve(at), DNS_MS_MAX, () => undefined)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    if (ABSENT.has(code)) return { ...said, state: 'absent', keyids: [], detail: '' }
    return { ...said, state: 'unknown', keyids: [], detail: `it cannot be asked: ${code}` }
  }
  if (records === undefined) {
    return { ...said, state: 'unknown', keyids: [], detail: 'its name servers are silent' }
  }
  return { ...said, ...compared(keyidsIn(records), published) }
}

function keyidsIn(records: readonly string[][]): string[] {
  const words = records.slice(0, RECORDS_MAX).flatMap(pieces => pieces.join('').split(/[\s;]+/))
  return [...new Set(words.flatMap(word => KEY_WORD.exec(word)?.[1] ?? []))]
}

/** What the DID document of a registry says of its published keys. */
export async function didBinding(
  fetcher: Pick<Fetcher, 'get'>,
  site: Site,
  url: string,
  published: readonly string[],
): Promise<Binding> {
  const at = new URL(DID_PATH, url).href
  const said = { by: 'did', at } as const
  const nothing = { ...said, keyids: [], detail: '' }
  try {
    const headers = { accept: 'application/did+json, application/json;q=0.9' }
    const answer = await fetcher.get({ site, url: at, headers, bytesMax: DID_BYTES_MAX })
    if (answer.status !== 200) return { ...nothing, state: 'absent' }
    const { keyids } = identityOf(new Uint8Array(answer.bytes), new URL(url).host)
    return { ...said, ...compared(keyids, published) }
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    // Many servers answer any path with a page of theirs: what is no such document says nothing.
    return { ...nothing, state: 'unknown', detail: error.message }
  }
}

function compared(
  keyids: string[],
  published: readonly string[],
): Pick<Binding, 'state' | 'keyids' | 'detail'> {
  if (keyids.length === 0) return { state: 'absent', keyids, detail: '' }
  const others = published.filter(keyid => !keyids.includes(keyid))
  if (published.length > 0 && others.length === 0) return { state: 'same', keyids, detail: '' }
  const detail =
    published.length === 0
      ? 'it names keys, and the registry publishes none'
      : `it does not name ${others.join(', ')}`
  const state = others.length < published.length ? 'some' : 'different'
  return { state, keyids, detail }
}
