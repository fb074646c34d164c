/**
 * How the surfaces of the log answer, in each of its dialects: open to every origin, since checking
 * needs no permission; kept for ever where the bytes never change; errors open as well.
 * @module
 */
import { errorResponse, type Report } from './errors.ts'

export const TEXT = 'text/plain; charset=utf-8'
export const BYTES = 'application/octet-stream'
export const FOR_EVER = 'public, max-age=31536000, immutable'
/** A checkpoint is old when the next record lands; this only spares bursts of readers. */
export const HEAD_CACHE_CONTROL = 'public, max-age=1'

/** Handlers whose errors any page may read, too. */
export function openly(report: Report) {
  return (work: (request: Request) => Response | Promise<Response>) => {
    return async ({ request }: { request: Request }): Promise<Response> => {
      try {
        return await work(request)
      } catch (error) {
        const failed = errorResponse(error, request, report)
        failed.headers.set('access-control-allow-origin', '*')
        return failed
      }
    }
  }
}

/** An answer that everybody may read. */
export function readable(body: string | Blob, type: string, cacheControl: string): Response {
  return new Response(body, {
    headers: {
      'content-type': type,
      'cache-control': cacheControl,
      'access-control-allow-origin': '*',
      'x-content-type-options': 'nosniff',
    },
  })
}

/** Bytes that never change. A Blob is held once; plain bytes would be copied for a slow reader. */
export function lasting(bytes: Uint8Array, type: string): Response {
  return readable(new Blob([new Uint8Array(bytes)]), type, FOR_EVER)
}
