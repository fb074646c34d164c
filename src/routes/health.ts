/**
 * Operating routes: is the process there (`healthz`), can it do its work (`readyz`), and npm's ping.
 * @module
 */
import { Elysia } from 'elysia'

/** One named check of readiness; returns when fine and throws the reason when not. */
export type ReadinessCheck = { name: string; check: () => void }

/** The health surface. */
export function healthRoutes(checks: readonly ReadinessCheck[]) {
  return new Elysia({ name: 'health', detail: { 'x-scope': 'public' } })
    .get('/-/healthz', () => Response.json({ status: 'ok' }))
    .get('/-/ping', () => Response.json({}))
    .get('/-/readyz', () => readiness(checks))
}

function readiness(checks: readonly ReadinessCheck[]): Response {
  const results = checks.map(({ name, check }) => {
    try {
      check()
      return { name, ok: true }
    } catch (error) {
      return { name, ok: false, reason: error instanceof Error ? error.message : String(error) }
    }
  })
  const ready = results.every(result => result.ok)
  return Response.json(
    { status: ready ? 'ready' : 'not ready', checks: results },
    { status: ready ? 200 : 503, headers: { 'cache-control': 'no-store' } },
  )
}
