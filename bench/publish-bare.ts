/**
 * The bare server for publishes: `bun bench/publish-bare.ts FOLDER PORT`. Each body that is put is
 * written to a file of its own, with fsync, before it is answered; a question is answered from
 * memory. Nothing is read, checked or recorded: it is what a durable answer costs at least.
 * @module
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'

const [folder = '', port = ''] = process.argv.slice(2)
const document = new Blob([JSON.stringify({ name: 'bare', versions: {} })])
let files = 0

async function store(request: Request): Promise<Response> {
  const bytes = new Uint8Array(await request.arrayBuffer())
  files += 1
  const file = await open(join(folder, String(files)), 'wx')
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  return Response.json({ ok: true }, { status: 201 })
}

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  fetch: request => (request.method === 'PUT' ? store(request) : new Response(document)),
})
