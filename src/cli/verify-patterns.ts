/**
 * Patterns of `--allow-missing` and `--allow-revisions`, in the words of the authority table: one
 * star stands for anything but a slash, two for anything at all, and a pattern with a version names
 * that version only.
 *
 *     left-pad    left-pad@1.3.0    @acme/*    **
 *
 * @module
 */

/** A name, an at sign and a version. */
const PATTERN_CHARS_MAX = 512

/** Whether a name and version are named by one of the patterns. Throws RangeError for a bad one. */
export function matcherOf(patterns: readonly string[]): (name: string, version: string) => boolean {
  const expressions = patterns.map(compile)
  return (name, version) => {
    const identity = `${name}@${version}`
    return expressions.some(expression => expression.test(name) || expression.test(identity))
  }
}

function compile(pattern: string): RegExp {
  if (pattern === '' || pattern.length > PATTERN_CHARS_MAX) {
    throw new RangeError(`a pattern has 1 to ${PATTERN_CHARS_MAX} characters`)
  }
  // Repeated stars would make matching slow and mean nothing more.
  const parts = pattern.replace(/\*{3,}/g, '**').split(/(\*{1,2})/)
  const source = parts.map(part => {
    if (part === '**') return '.*'
    return part === '*' ? '[^/]*' : RegExp.escape(part)
  })
  return new RegExp(`^${source.join('')}$`)
}
