/**
 * The bare server: `bun bench/bare.ts FOLDER PORT` sends stored bytes, one shared Blob per path,
 * and does nothing else. It is what a server on this runtime could reach at most.
 * @module
 */
import { join } from 'node:path'
import { readBodies } from './bodies.ts'

const [folder = '', port = ''] = process.argv.slice(2)
const bodies = new Map<string, { blob: Blob; headers: Record<string, string> }>()
for (const { path, file, headers } of await readBodies(folder)) {
  bodies.set(path, { blob: new Blob([await Bun.file(join(folder, file)).bytes()]), headers })
}

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  fetch(request) {
    const { url } = request
    const body = bodies.get(url.slice(url.indexOf('/', 'http://'.length)))
    if (body === undefined) return new Response(null, { status: 404 })
    return new Response(body.blob, { headers: body.headers })
  },
})
