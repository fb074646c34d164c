/**
 * The incident of a registry that publishes a key which nobody has seen before: it may rotate its
 * keys, or somebody else may speak for it. What such a key signs is refused until an operator
 * approves it (trust.ts); this is how the operator hears of it.
 * @module
 */
import type { Incidents } from '../../db/incidents.ts'

/** The incident's code. */
export const KEY_CHANGE = 'key-change'

/** Keeps the incident; the same key again only counts up. */
export function recordKeyChange(
  needs: { incidents: Incidents; name: string; namespace: string; warn: (message: string) => void },
  keyid: string,
  seen: string,
): void {
  const { incidents, name, namespace, warn } = needs
  const sentence = `${name} publishes a new key ${keyid}: refused until it is approved (upstream approve-key ${name} ${keyid})`
  warn(sentence)
  const evidence = JSON.stringify({ upstream: name, keyid, observed: seen })
  // It is about no package: whatever the registry signs with it.
  const about = { code: KEY_CHANGE, namespace, name: '', version: '' }
  incidents.record({ ...about, claim: keyid, sentence, evidence }, seen)
}
