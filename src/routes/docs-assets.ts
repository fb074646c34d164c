/**
 * The files of the API page, embedded in the binary: Swagger UI's script and style sheet as its
 * authors ship them, and our few lines that start it.
 *
 * They are compressed once, in the background of the first request that asks for one, and kept.
 * @module
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip as gzipCallback } from 'node:zlib'
import start from './docs-start.js' with { type: 'text' }
import scriptPath from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import stylePath from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }

const gzip = promisify(gzipCallback)

/** Shown by a browser before there is anything, and without any script. */
export const DOCS_HTML = `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>npmx-registry admin API</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="docs/swagger-ui.css">
  <noscript>This page needs JavaScript; the API itself is in api/openapi.json.</noscript>
  <main id="docs"></main>
  <script src="docs/swagger-ui-bundle.js"></script>
  <script src="docs/start.js"></script>
</html>
`

/** One file, as it is sent. */
export type Asset = { type: string; etag: string; identity: Blob; gzip: Blob }

const FILES: Record<string, { type: string; read: () => Promise<Uint8Array<ArrayBuffer>> }> = {
  'swagger-ui-bundle.js': { type: 'text/javascript', read: () => Bun.file(scriptPath).bytes() },
  'swagger-ui.css': { type: 'text/css', read: () => Bun.file(stylePath).bytes() },
  'start.js': {
    type: 'text/javascript',
    read: async () => new TextEncoder().encode(start),
  },
}

const made = new Map<string, Promise<Asset>>()

/** The file of this name; null when there is none. */
export async function docsAsset(name: string): Promise<Asset | null> {
  const file = Object.hasOwn(FILES, name) ? FILES[name] : undefined
  if (file === undefined) return null
  const known = made.get(name)
  if (known !== undefined) return await known
  const begun = makeAsset(file)
  made.set(name, begun)
  return await begun
}

async function makeAsset({ type, read }: (typeof FILES)[string]): Promise<Asset> {
  const bytes = await read()
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
  const packed = await gzip(bytes, { level: 9 })
  return {
    type: `${type}; charset=utf-8`,
    etag,
    identity: new Blob([bytes]),
    gzip: new Blob([packed]),
  }
}
