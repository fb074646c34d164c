/**
 * Preload of `bun test`: a unit test that tries to leave this machine fails and says so.
 *
 * Replaces the global `fetch` by one that refuses every target but loopback, also after a redirect.
 * It does not watch raw sockets or child processes: unit tests have none that go anywhere else.
 *
 * @module
 */

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** A browser gives up after 20 hops as well; a test that needs more has a loop. */
const REDIRECTS_MAX = 20

const fetchUnguarded = globalThis.fetch

function targetOf(input: string | URL | Request): string {
  return input instanceof Request ? input.url : String(input)
}

function assertLoopback(target: string): void {
  const url = new URL(target)
  const inMemory = url.protocol === 'data:' || url.protocol === 'blob:'
  if (inMemory || url.protocol === 'file:' || LOOPBACK.test(url.hostname)) return
  throw new Error(
    `unit tests stay on this machine, but something fetched ${url.origin}: ` +
      'use a server on 127.0.0.1 or hand in the answer',
  )
}

async function fetchLoopback(
  input: string | URL | Request,
  init?: BunFetchRequestInit,
): Promise<Response> {
  const mode = init?.redirect ?? (input instanceof Request ? input.redirect : 'follow')
  assertLoopback(targetOf(input))
  if (mode !== 'follow') return fetchUnguarded(input, init)
  let target = targetOf(input)
  for (let hop = 0; hop < REDIRECTS_MAX; hop += 1) {
    const probe = hop === 0 && input instanceof Request ? input.clone() : target
    const response = await fetchUnguarded(probe, { ...init, redirect: 'manual' })
    const location = response.headers.get('location')
    if (response.status < 300 || response.status > 399 || location === null) return response
    await response.body?.cancel()
    target = new URL(location, target).href
    assertLoopback(target)
  }
  throw new Error(`more than ${REDIRECTS_MAX} redirects from ${targetOf(input)}`)
}

globalThis.fetch = Object.assign(fetchLoopback, { preconnect: fetchUnguarded.preconnect })
