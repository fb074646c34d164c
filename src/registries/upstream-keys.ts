/**
 * The keys of an upstream that is being added: those whose fingerprints the operator saw and agreed
 * to become trusted with it, in the same transaction, each as a leaf of the log. Later changes of
 * keys are trust.ts's.
 * @module
 */
import type { Upstreams } from '../db/upstreams.ts'
import { identityKey, type KeyLeaf } from '../log/leaf.ts'
import type { Log, LogStore } from '../log/log.ts'
import { RegistryError } from './errors.ts'
import type { RegistryKey } from './keys.ts'
import { keyRow } from './trust.ts'

/** What keys are kept in. */
export type KeyImportNeeds = { upstreams: Upstreams; log: Log; store: LogStore }

/** Throws unless `confirm` is exactly the fingerprints of `keys`. */
export function assertConfirmed(
  name: string,
  keys: readonly RegistryKey[],
  confirm: readonly string[],
): void {
  const found = new Set(keys.map(({ keyid }) => keyid))
  if (found.size === new Set(confirm).size && confirm.every(keyid => found.has(keyid))) return
  const shown = found.size === 0 ? 'no keys' : [...found].join(', ')
  throw new RegistryError(
    'conflict',
    `${name} publishes ${shown}, which is not what was confirmed; nothing was saved`,
  )
}

/** Takes the first keys of an upstream, inside the caller's transaction. @throws RegistryError */
export function importKeys(
  needs: KeyImportNeeds,
  upstream: { name: string; namespace: string },
  keys: readonly RegistryKey[],
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
  if (keys.length > 0) upstreams.markSigns(name, now)
}

function leafOf(namespace: string, key: RegistryKey, action: KeyLeaf['action']): KeyLeaf {
  const { keyid, spki, expires } = key
  return { kind: 'registry-key', action, namespace, keyid, spki, expires }
}
