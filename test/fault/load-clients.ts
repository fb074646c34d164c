/**
 * Clients at the level of sockets: a herd that asks in one instant and reads all, and readers that
 * never read. The latter are plain descriptors of the C library, so that their receive buffers are
 * small and no event loop of ours ever reads for them.
 * @module
 */
import { dlopen, ptr } from 'bun:ffi'
import { gunzipSync } from 'node:zlib'

const HEAD_END = Buffer.from('\r\n\r\n')
const ANSWER_TIMEOUT_MS = 120_000
/** AF_INET, SOCK_STREAM; SOL_SOCKET, SO_RCVBUF; MSG_NOSIGNAL (linux/socket.h). */
const LINUX = { inet: 2, stream: 1, socketLevel: 1, receiveBuffer: 8, noSignal: 0x4000 } as const
/** The smallest that Linux grants is about twice this. */
const RECEIVE_BUFFER_BYTES = 4096

/** What one client of a herd got; `digest` is of the body as it is after decompression. */
export type Answer = { status: number; digest: string }

/** Opens `count` connections, asks on all of them in one turn, and reads every answer. */
export async function herd(port: number, path: string, count: number): Promise<Answer[]> {
  const clients = await Promise.all(
    Array.from({ length: count }, (_, i) => openClient(port, i % 2 === 0 ? 'gzip' : 'identity')),
  )
  const answers = clients.map(client => client.ask(path))
  return await Promise.all(answers)
}

async function openClient(port: number, encoding: string) {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const pieces: Buffer[] = []
  let missing = Number.POSITIVE_INFINITY
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data(_, piece) {
        pieces.push(Buffer.from(piece))
        if (missing === Number.POSITIVE_INFINITY) missing = wholeLength(Buffer.concat(pieces))
        else missing -= piece.length
        if (missing > 0) return
        clearTimeout(timer)
        resolve(readAnswer(Buffer.concat(pieces)))
        socket.end()
      },
      close: () => reject(new Error('the connection was closed before the answer')),
      error: (_, error) => reject(error),
    },
  })
  const timer = setTimeout(() => reject(new Error('no whole answer')), ANSWER_TIMEOUT_MS)
  return {
    ask(path: string): Promise<Answer> {
      socket.write(requestOf(port, path, encoding))
      return promise
    },
  }
}

function requestOf(port: number, path: string, encoding: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: application/json\r\nAccept-Encoding: ${encoding}\r\n\r\n`
}

/** Bytes still to come of an answer that began like this; infinite while its head is not whole. */
function wholeLength(bytes: Buffer): number {
  const end = bytes.indexOf(HEAD_END)
  if (end < 0) return Number.POSITIVE_INFINITY
  const length = /^content-length: *(\d+)/im.exec(bytes.toString('latin1', 0, end))?.[1]
  if (length === undefined) throw new TypeError('an answer without content-length')
  return Number(length) - (bytes.length - end - HEAD_END.length)
}

function readAnswer(bytes: Buffer): Answer {
  const end = bytes.indexOf(HEAD_END)
  const head = bytes.toString('latin1', 0, end)
  const body = bytes.subarray(end + HEAD_END.length)
  const plain = /^content-encoding: *gzip/im.test(head) ? gunzipSync(body) : body
  const digest = new Bun.CryptoHasher('sha256').update(plain).digest('hex')
  return { status: Number(head.split(' ')[1]), digest }
}

/** Readers that asked and never read. Disposing closes their connections. */
export class StalledReaders implements Disposable {
  readonly #sockets: number[] = []

  constructor(port: number, path: string, encoding: string, count: number) {
    const libc = openLibc()
    const address = new Uint8Array(16)
    const view = new DataView(address.buffer)
    view.setUint16(0, LINUX.inet, true)
    view.setUint16(2, port)
    address.set([127, 0, 0, 1], 4)
    const size = new Int32Array([RECEIVE_BUFFER_BYTES])
    const request = Buffer.from(requestOf(port, path, encoding))
    for (let i = 0; i < count; i++) {
      const socket = libc.socket(LINUX.inet, LINUX.stream, 0)
      this.#sockets.push(socket)
      libc.setsockopt(socket, LINUX.socketLevel, LINUX.receiveBuffer, ptr(size), size.byteLength)
      const connected = libc.connect(socket, ptr(address), address.length) === 0
      const sent = connected && libc.send(socket, ptr(request), request.length, LINUX.noSignal)
      if (Number(sent) !== request.length) throw new Error(`reader ${i} could not ask`)
    }
  }

  [Symbol.dispose](): void {
    const libc = openLibc()
    for (const socket of this.#sockets.splice(0)) libc.close(socket)
  }
}

function openLibc() {
  return dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    setsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'u32'], returns: 'i32' },
    connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
    send: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
    close: { args: ['i32'], returns: 'i32' },
  }).symbols
}
