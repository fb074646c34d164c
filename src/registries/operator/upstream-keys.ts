/**
 * The keys of an upstream that is being added: those whose fingerprints the operator saw and agreed
 * to become trusted with it, in the same transaction, each as a leaf of the log. What it publishes
 * besides waits for approval, so that nobody is told of it again. Later changes of keys are
 * trust.ts's.
 * @module
 */
import type { Upstreams } from '../../db/upstreams.ts'
import { identityKey, type KeyLeaf } from '../../log/leaf.ts'
import type { Log, LogStore } from '../../log/log.ts'
import type { Binding } from '../sources/dns-identity.ts'
import { RegistryError } from '../errors.ts'
import type { RegistryKey } from '../keys/keys.ts'
import type { Probe } from './probe.ts'
import { keyRow } from '../sources/trust.ts'

/** What keys are kept in. */
export type KeyImportNeeds = { upstreams: Upstreams; log: Log; store: LogStore }

/** What a person has to agree to: keys by their fingerprints, and what speaks against them. */
export type ToConfirm = { keys: readonly { keyid: string }[]; bindings: readonly Binding[] }

/** `different:dns`: the domain names other keys. A person may know why. */
export function confirmationsOf({ keys, bindings }: ToConfirm): string[] {
  const different = bindings.filter(({ state }) => state === 'different')
  return [...keys.map(({ keyid }) => keyid), ...different.map(({ by }) => `different:${by}`)]
}

/** Throws unless `confirm` is exactly what `found` asks for. */
export function assertConfirmed(name: string, found: ToConfirm, confirm: readonly string[]): void {
  const asked = new Set(confirmationsOf(found))
  if (asked.size === new Set(confirm).size && confirm.every(each => asked.has(each))) return
  const shown =
    found.keys.length === 0 ? 'no keys' : found.keys.map(({ keyid }) => keyid).join(', ')
  const against = found.bindings
    .filter(({ by, state }) => state === 'different' && !confirm.includes(`different:${by}`))
    .map(({ at, detail }) => `; ${at} speaks against it: ${detail}`)
    .join('')
  throw new RegistryError(
    'conflict',
    `${name} publishes ${shown}, which is not what was confirmed${against}; nothing was saved`,
  )
}

/** Takes the first keys of an upstream, inside the caller's transaction. @throws RegistryError */
export function importKeys(
  needs: KeyImportNeeds,
  upstream: { name: string; namespace: string },
  { keys, unnamedKeys }: Pick<Probe, 'keys' | 'unnamedKeys'>,
  now: string,
): void {
  const { upstreams, log, store } = needs
  const { name, namespace } = upstream
  for (const key of keys) {
    if (store.findIndex(identityKey(leafOf(namespace, key, 'retire'))) === null) continue
    const sentence = `the key ${key.keyid} of ${namespace} was retired here and cannot come back`
    throw new RegistryError('conflict', sentence)
  }
  const outcomes = log.append(keys.map(key => leafOf(namespace, key, 'add')))
  for (const [i, key] of keys.entries()) {
    const leafIdx = outcomes[i]?.index ?? null
    upstreams.addKey({ ...keyRow(name, key, now), state: 'approved', leafIdx })
  }
  for (const key of unnamedKeys) upstreams.addKey({ ...keyRow(name, key, now), state: 'pending' })
  if (keys.length > 0) upstreams.markSigns(name, now)
}

function leafOf(namespace: string, key: RegistryKey, action: KeyLeaf['action']): KeyLeaf {
  const { keyid, spki, expires } = key
  return { kind: 'registry-key', action, namespace, keyid, spki, expires }
}
