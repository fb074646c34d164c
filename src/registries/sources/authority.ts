/**
 * Which registry owns a name: a table of patterns that gives every name to at most one.
 *
 * - `left-pad`: this package
 * - `@acme/` and a star: every package of the scope
 * - `@*`, a slash and a star: every package that has a scope
 * - `**`: everything
 *
 * The narrowest pattern wins, so the order of the table says nothing. A table that can be read in
 * two ways, or holds a pattern that decides nothing, is refused when it is built: a name that is
 * looked up in the wrong registry is how dependency confusion works. There is no falling through
 * to another registry, whatever the owner answers.
 *
 * @module
 */
import { checkName, CONTENT_SCOPE } from '../name.ts'
import { RegistryError } from '../errors.ts'

/**
 * One registry and the patterns of the names that it owns. @property mayOwnNothing for what lives
 * here: before the first publish it owns no name
 */
export type AuthorityEntry = { registry: string; patterns: string[]; mayOwnNothing?: boolean }

export type AuthorityErrorCode = 'bad-pattern' | 'duplicate' | 'ambiguous' | 'shadowed'

/** The table cannot be used; the message says why and names the entries. */
export class AuthorityError extends Error {
  override readonly name = 'AuthorityError'
  readonly code: AuthorityErrorCode

  constructor(code: AuthorityErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Answers who owns a name. @property main the owner of whatever no narrower pattern names */
export type Authority = {
  ownerOf: (name: string) => string | undefined
  main: string | undefined
}

/** Against a table from a file that fills memory; a large company has some hundred scopes. */
const PATTERNS_MAX = 10_000

const EVERYTHING = '**'
const EVERY_SCOPE = '@*/*'

/** Throws AuthorityError unless this is one of the four kinds. @param registry who claims it */
export function assertPattern(registry: string, pattern: string): void {
  if (pattern === EVERYTHING || pattern === EVERY_SCOPE) return
  if (pattern.startsWith(CONTENT_SCOPE)) {
    const why = `${CONTENT_SCOPE}* names bytes, whichever registry holds them, and belongs to none`
    throw new AuthorityError('bad-pattern', `${registry}: ${why}`)
  }
  const isScope = pattern.startsWith('@') && pattern.endsWith('/*')
  // Any name of the scope stands for all of them.
  const sample = isScope ? `${pattern.slice(0, -1)}x` : pattern
  if (!sample.includes('*') && isName(sample)) return
  throw new AuthorityError(
    'bad-pattern',
    `${registry}: ${JSON.stringify(pattern)} is no pattern; ` +
      'use a package name, @scope/*, @*/* or **',
  )
}

function isName(text: string): boolean {
  try {
    checkName(text)
    return true
  } catch (error) {
    if (error instanceof RegistryError) return false
    throw error
  }
}

/** The patterns that match whatever `pattern` matches and more, narrowest first. */
function widerThan(pattern: string): string[] {
  if (pattern === EVERYTHING) return []
  if (pattern === EVERY_SCOPE || !pattern.startsWith('@')) return [EVERYTHING]
  if (pattern.endsWith('/*')) return [EVERY_SCOPE, EVERYTHING]
  return [scopeOf(pattern), EVERY_SCOPE, EVERYTHING]
}

function scopeOf(name: string): string {
  return `${name.slice(0, name.indexOf('/'))}/*`
}

/** Does `pattern` name `name`? */
export function matchesName(pattern: string, name: string): boolean {
  return name === pattern || widerThan(name).includes(pattern)
}

function collect(entries: readonly AuthorityEntry[]): Map<string, string> {
  const owners = new Map<string, string>()
  const folded = new Map<string, string>()
  const registries = new Set<string>()
  for (const { registry, patterns, mayOwnNothing = false } of entries) {
    if (registries.has(registry)) {
      throw new AuthorityError('duplicate', `${registry} stands in the table twice`)
    }
    registries.add(registry)
    if (patterns.length === 0 && !mayOwnNothing) {
      throw new AuthorityError('shadowed', `${registry} owns no names: give it a pattern`)
    }
    for (const pattern of patterns) {
      assertPattern(registry, pattern)
      addPattern(owners, folded, registry, pattern)
    }
  }
  if (owners.size > PATTERNS_MAX) {
    throw new AuthorityError('bad-pattern', `more than ${PATTERNS_MAX} patterns`)
  }
  return owners
}

function addPattern(
  owners: Map<string, string>,
  folded: Map<string, string>,
  registry: string,
  pattern: string,
): void {
  const owner = owners.get(pattern)
  if (owner === registry) {
    throw new AuthorityError('duplicate', `${registry}: ${pattern} is listed twice`)
  }
  if (owner !== undefined) {
    throw new AuthorityError('ambiguous', `${pattern} is claimed by ${owner} and by ${registry}`)
  }
  // `JSONStream` and `jsonstream` are two packages, but in two registries they are a trap.
  const twin = folded.get(pattern.toLowerCase())
  if (twin !== undefined && owners.get(twin) !== registry) {
    throw new AuthorityError(
      'ambiguous',
      `${twin} (${owners.get(twin)}) and ${pattern} (${registry}) differ in capitals only`,
    )
  }
  owners.set(pattern, registry)
  folded.set(pattern.toLowerCase(), pattern)
}

function assertEffect(owners: ReadonlyMap<string, string>): void {
  for (const [pattern, registry] of owners) {
    const wider = widerThan(pattern).find(candidate => owners.has(candidate))
    if (wider !== undefined && owners.get(wider) === registry) {
      throw new AuthorityError(
        'shadowed',
        `${registry}: ${pattern} decides nothing, ${wider} gives it the same names`,
      )
    }
  }
}

/** Checks the whole table and answers by it; throws AuthorityError with the reason. */
export function buildAuthority(entries: readonly AuthorityEntry[]): Authority {
  const owners = collect(entries)
  assertEffect(owners)
  return {
    main: owners.get(EVERYTHING),
    ownerOf(name) {
      // A pattern is not a name: it must not be answered by the entry that spells the same.
      if (name.endsWith('/*') || name === EVERYTHING) return undefined
      if (name.startsWith(CONTENT_SCOPE)) return undefined
      for (const pattern of [name, ...widerThan(name)]) {
        const owner = owners.get(pattern)
        if (owner !== undefined) return owner
      }
      return undefined
    },
  }
}
