/**
 * A server of unit tests that sends exactly the bytes it is told, whole or cut, and counts.
 *
 * @module
 */

const encoder = new TextEncoder()

export type RawServer = Disposable & {
  /** `http://127.0.0.1:<port>`. */
  origin: string
  /** Requests that have come, as text. */
  requests: string[]
  /** Connections that were made. */
  connections: number
}

/** How a connection goes on after what was sent: left open, ended, or reset. */
export type Ending = 'open' | 'end' | 'reset'

export type Reply = {
  send?: (string | Uint8Array)[]
  /** One byte after another, each after so many milliseconds. */
  dripMs?: number
  ending?: Ending
}

/** Listens on loopback; `reply` says what comes for the n-th request (from 0). */
export function serveRaw(reply: (request: string, n: number) => Reply): RawServer {
  const listener = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open() {
        server.connections += 1
      },
      data(socket, data) {
        const request = data.toString()
        const { send = [], dripMs, ending = 'end' } = reply(request, server.requests.length)
        server.requests.push(request)
        const bytes = Buffer.concat(send.map(part => toBytes(part)))
        if (dripMs !== undefined) return drip(socket, bytes, dripMs)
        socket.write(bytes)
        socket.flush()
        if (ending === 'end') socket.end()
        // A moment, so that what was sent arrives before the reset.
        if (ending === 'reset') setTimeout(() => socket.terminate(), 5)
      },
    },
  })
  const server: RawServer = {
    origin: `http://127.0.0.1:${listener.port}`,
    requests: [],
    connections: 0,
    [Symbol.dispose]: () => listener.stop(true),
  }
  return server
}

function toBytes(part: string | Uint8Array): Uint8Array {
  return typeof part === 'string' ? encoder.encode(part) : part
}

function drip(socket: Bun.Socket, bytes: Uint8Array, everyMs: number): void {
  let sent = 0
  const timer = setInterval(() => {
    if (sent >= bytes.length || socket.write(bytes.subarray(sent, sent + 1)) < 0) {
      clearInterval(timer)
      return
    }
    sent += 1
  }, everyMs)
}

/** The head of an answer. */
export function head(status: string, ...headers: string[]): string {
  return `HTTP/1.1 ${[status, ...headers].join('\r\n')}\r\n\r\n`
}

/** One chunk of a chunked body. */
export function chunk(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ])
}
