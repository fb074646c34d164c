/**
 * The dist-tags of a package by themselves (`npm dist-tag ls`): of one that lives here from its
 * rows, of any other from its packument as it is served, so without tags of refused versions. In a
 * view, or of one registry alone, both from the packument as it is served there.
 * @module
 */
import type { Identity } from '../accounts/access.ts'
import type { Bodies } from '../bodies.ts'
import type { HostedChanges } from '../hosted/hosted-changes.ts'
import { isOurs } from '../hosted/hosted-claim.ts'
import { readDistTags, scanPackument } from '../packument/packument-scan.ts'
import type { Proxy } from './proxy.ts'
import type { Sources } from '../sources/source.ts'

/** What tags are read from. */
export type TagListNeeds = {
  sources: Sources
  changes: HostedChanges
  proxy: Proxy
  bodies: Bodies
}

/** The dist-tags that `identity` may see. @throws RegistryError not-found, upstream-… */
export async function tagList(
  needs: TagListNeeds,
  identity: Identity,
  name: string,
): Promise<Record<string, string>> {
  return isOurs(needs, name) ? needs.changes.tags(identity, name) : await servedTags(needs, name)
}

/**
 * The dist-tags of a packument as it is served here: in a view, as that view moves them. Who may see
 * the package is asked before. @throws RegistryError not-found, upstream-…
 */
export async function servedTags(
  needs: Pick<TagListNeeds, 'proxy' | 'bodies'>,
  name: string,
): Promise<Record<string, string>> {
  const wanted = { form: 'abbreviated', own: false, noTombstones: false, addressed: false } as const
  const { body } = await needs.proxy.packument(name, wanted, false)
  const { data } = await needs.bodies.get(body, 'identity')
  return Object.fromEntries(readDistTags(scanPackument(await data.bytes())))
}
