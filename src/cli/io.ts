/**
 * The world as a command sees it: two streams, signals and the way out. Commands take it as an
 * argument so that tests run them inside their own process. It reads no environment: colours are
 * left to `styleText` of node:util, which obeys NO_COLOR by itself.
 * @module
 */

export type StopSignal = 'SIGINT' | 'SIGTERM'

export type Io = {
  /** Data, to stdout. */
  out(text: string): void
  /** Everything else, to stderr. */
  err(text: string): void
  /** Whether a person looks at stderr: a progress bar rather than lines. */
  readonly errIsTty: boolean
  /** Hands each stop signal to `heard` from now on, in place of the end of the process. */
  onStop(heard: (signal: StopSignal) => void): void
  /** Ends the process at once: for a stop that does not come to its end by itself. */
  exit(code: number): void
}

/** Exit codes of the command line (CONTRACT: "Command line"). */
export const EXIT = {
  ok: 0,
  findings: 1,
  usage: 2,
  unreachable: 3,
  misbehaved: 4,
  interrupted: 130,
} as const

/** @throws what keeps a stream from being written, unless nobody reads it any more */
export function processIo(): Io {
  // Whoever has read enough (`| head`) has closed it. The command goes on: its exit code counts.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: Error) => {
      if (!('code' in error) || error.code !== 'EPIPE') throw error
    })
  }
  return {
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    errIsTty: process.stderr.isTTY,
    onStop(heard) {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => heard(signal))
    },
    exit: code => process.exit(code),
  }
}
