/**
 * Dist-tags when versions are refused: a tag never points at a version that cannot be had.
 *
 * yarn 4 and deno fail on a tag that names a missing version, and `latest` on a refused one would
 * stop every install of the package. Such a tag goes back to the newest allowed version that is not
 * newer than the one it named (so that `latest` never jumps to a major release nobody announced);
 * stable if that was stable, and not deprecated where there is a choice. With nothing older, the
 * newest allowed version serves. Tags on allowed versions are left alone.
 *
 * @module
 */
import semver from 'semver'

/** What the tags can point at. */
export type TagTargets = {
  allowed: readonly string[]
  /** Tombstones that clients will see; where nothing is allowed, tags stay on them. */
  tombstones: readonly string[]
  isDeprecated: (version: string) => boolean
}

/** The tags that change, with the version that each gets; undefined when nothing is left for it. */
export function moveDistTags(
  tags: readonly (readonly [string, string])[],
  targets: TagTargets,
): Map<string, string | undefined> {
  const moved = new Map<string, string | undefined>()
  const allowed = new Set(targets.allowed)
  const tombstones = new Set(targets.tombstones)
  let sorted: string[] | undefined
  for (const [tag, version] of tags) {
    if (allowed.has(version)) continue
    if (allowed.size === 0) {
      if (!tombstones.has(version)) moved.set(tag, newestFirst(targets.tombstones)[0])
      continue
    }
    sorted ??= newestFirst(targets.allowed)
    moved.set(tag, pick(sorted, version, targets.isDeprecated))
  }
  return moved
}

/** Versions from new to old; those that semver cannot read come last. */
export function newestFirst(versions: readonly string[]): string[] {
  const readable = versions.filter(version => semver.valid(version, true) !== null)
  const others = versions.filter(version => semver.valid(version, true) === null)
  return [...semver.rsort(readable, true), ...others.toSorted().toReversed()]
}

function pick(
  sorted: readonly string[],
  named: string,
  isDeprecated: (version: string) => boolean,
): string | undefined {
  const known = semver.valid(named, true) !== null
  const older = sorted.filter(
    version => known && semver.valid(version, true) !== null && semver.lt(version, named, true),
  )
  const choices = older.length > 0 ? older : sorted
  const stable = choices.filter(version => semver.prerelease(version, true) === null)
  const wantsStable = !known || semver.prerelease(named, true) === null
  const preferred = wantsStable && stable.length > 0 ? stable : choices
  return preferred.find(version => !isDeprecated(version)) ?? preferred[0]
}
