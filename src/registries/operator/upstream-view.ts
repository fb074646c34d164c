/**
 * An upstream as operators see it: its row, which parts a credential has, its keys, how it does;
 * and what a probe found. As shapes, so that whoever gets one over a wire can check it. No secret
 * is ever part of it, so it is also what the audit trail keeps.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import type { UpstreamKeyRow, UpstreamRow } from '../../db/upstreams.ts'
import { BindingShape } from '../sources/dns-identity.ts'
import type { Probe } from './probe.ts'
import type { SecretSummary } from '../sources/upstream-secret.ts'

const TextOrNull = Type.Union([Type.String(), Type.Null()])
const words = <const W extends string>(...all: W[]) =>
  Type.Union(all.map(word => Type.Literal(word)))

/** A key and since when it is known. `leaf` is its record in the log. */
export const KeyViewShape = Type.Object({
  keyid: Type.String(),
  state: words('approved', 'pending', 'missing', 'retired'),
  expires: TextOrNull,
  firstSeen: Type.String(),
  leaf: Type.Union([Type.Integer(), Type.Null()]),
})
export type KeyView = Static<typeof KeyViewShape>

export const UpstreamViewShape = Type.Object({
  name: Type.String(),
  /** `hosted`: what lives here. */
  kind: words('registry', 'mirror', 'hosted'),
  /** The registry that a mirror belongs to. */
  of: TextOrNull,
  url: Type.String(),
  namespace: Type.String(),
  names: Type.Array(Type.String()),
  signatures: words('auto', 'require', 'off'),
  tarballs: words('canonical', 'redirect', 'upstream', 'stream', 'cache'),
  /** Further origins that may send its tarballs. */
  tarballOrigins: Type.Array(Type.String()),
  /** It re-issues the bytes of versions: each content of one has a record. */
  revisions: Type.Boolean(),
  /** Since when versions are offered only after a look into their tarballs. */
  strictSince: TextOrNull,
  /** What it says of its signatures, `unknown` before it was asked; null for a mirror. */
  signing: Type.Union([words('signed', 'unsigned', 'unknown'), Type.Null()]),
  /** Since when it is known to sign; from then on it has to. */
  signsSince: TextOrNull,
  created: Type.String(),
  credential: Type.Union([
    Type.Object({
      authorization: Type.Union([Type.Literal('bearer'), Type.Literal('basic'), Type.Null()]),
      ca: Type.Boolean(),
      certificate: Type.Boolean(),
    }),
    Type.Null(),
  ]),
  keys: Type.Array(KeyViewShape),
  /** `down`: it did not answer a moment ago and is not asked for a while. */
  health: words('up', 'down'),
})
export type UpstreamView = Static<typeof UpstreamViewShape>

/** What is shown before it is confirmed. */
export const ProbeViewShape = Type.Object({
  url: Type.String(),
  signatures: words('signed', 'unsigned'),
  keys: Type.Array(Type.Object({ keyid: Type.String(), expires: TextOrNull })),
  /** What its domain and its DID document say of its keys. */
  bindings: Type.Array(BindingShape),
  refusedKeys: Type.Array(Type.Object({ keyid: Type.String(), reason: Type.String() })),
  sample: Type.Union([
    Type.Object({
      name: Type.String(),
      versions: Type.Integer(),
      verdicts: Type.Record(Type.String(), Type.Integer()),
      compared: Type.Array(
        Type.Object({
          namespace: Type.String(),
          same: Type.Integer(),
          different: Type.Array(Type.String()),
        }),
      ),
    }),
    Type.Null(),
  ]),
})
export type ProbeView = Static<typeof ProbeViewShape>

export function keyView(row: UpstreamKeyRow): KeyView {
  const { keyid, state, expires, firstSeen, leafIdx } = row
  return { keyid, state, expires, firstSeen, leaf: leafIdx }
}

export function probeView(found: Probe): ProbeView {
  const { keys, unnamedKeys, refusedKeys, ...rest } = found
  const reason = 'it is not named as one of its own'
  return {
    ...rest,
    keys: keys.map(({ keyid, expires }) => ({ keyid, expires })),
    refusedKeys: [...refusedKeys, ...unnamedKeys.map(({ keyid }) => ({ keyid, reason }))],
  }
}

export function upstreamView(
  row: UpstreamRow,
  keys: readonly UpstreamKeyRow[],
  credential: SecretSummary | null,
  { health, signing }: Pick<UpstreamView, 'health' | 'signing'>,
): UpstreamView {
  const { name, kind, mirrorOf, url, namespace, names, signatures, tarballs } = row
  const { signsSince, created, tarballOrigins, revisions, strictSince } = row
  const shown = { name, kind, of: mirrorOf, url, namespace, names, signatures, tarballs }
  const more = { tarballOrigins, revisions, strictSince, signing, signsSince, created }
  return { ...shown, ...more, credential, keys: keys.map(keyView), health }
}
