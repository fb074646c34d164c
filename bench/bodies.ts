/**
 * Answers of our server as they went over the wire, kept in a folder for the bare server to send:
 * `bodies.json` lists path, file and headers.
 * @module
 */
import { join } from 'node:path'

/** One stored answer. @property file name in the folder, of the bytes as they were sent */
export type StoredBody = { path: string; file: string; headers: Record<string, string> }

const LIST = 'bodies.json'
/** Written by every HTTP server for itself. */
const OWN_HEADERS = new Set(['date', 'content-length', 'connection', 'transfer-encoding'])

/** Headers that say something about the body: those the bare server must send as well. */
export function headersToKeep(headers: Headers): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => !OWN_HEADERS.has(name)))
}

export async function writeBodies(folder: string, bodies: readonly StoredBody[]): Promise<void> {
  await Bun.write(join(folder, LIST), JSON.stringify(bodies))
}

export async function readBodies(folder: string): Promise<StoredBody[]> {
  const list: unknown = await Bun.file(join(folder, LIST)).json()
  if (!Array.isArray(list)) throw new Error(`${LIST} is no list`)
  return list.map(entry => storedBody(entry))
}

function storedBody(entry: unknown): StoredBody {
  if (typeof entry === 'object' && entry !== null) {
    const { path, file, headers } = { path: null, file: null, headers: null, ...entry }
    if (typeof path === 'string' && typeof file === 'string' && typeof headers === 'object') {
      const pairs = Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)])
      return { path, file, headers: Object.fromEntries(pairs) }
    }
  }
  throw new Error(`${LIST} holds a broken entry`)
}
