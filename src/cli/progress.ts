/**
 * How far long work has come, on stderr: a bar that is drawn over itself when a person looks, else
 * a line every ten seconds, so that the log of a CI run stays short.
 *
 *     checking [##########··········]  50 %  596/1192
 *     checking: 596 of 1192
 *
 * @module
 */

/** A line in a CI log at this distance shows that the work is alive. */
const LINE_EVERY_MS = 10_000
/** More often than this nobody sees a difference. */
const DRAW_EVERY_MS = 100
const BAR_CELLS = 20
/** Carriage return, then erase to the end of the line (ECMA-48, EL). */
const ERASE_LINE = '\r\u001B[K'

export type Progress = Disposable & {
  /** One piece of the work is done. */
  advance(): void
}

export type ProgressOptions = {
  label: string
  total: number
  tty: boolean
  write: (text: string) => void
  /** Milliseconds on any clock that only goes forward. */
  now?: () => number
}

/** Starts to show progress; dispose it when the work is over. */
export function startProgress(options: ProgressOptions): Progress {
  const { label, total, tty, write } = options
  const now = options.now ?? (() => performance.now())
  let done = 0
  let shownAt = now()
  let isDrawn = false
  return {
    advance() {
      done += 1
      const time = now()
      if (time - shownAt < (tty ? DRAW_EVERY_MS : LINE_EVERY_MS)) return
      shownAt = time
      isDrawn = tty
      write(tty ? `${ERASE_LINE}${drawBar(label, done, total)}` : `${label}: ${done} of ${total}\n`)
    },
    [Symbol.dispose]() {
      if (isDrawn) write(ERASE_LINE)
      isDrawn = false
    },
  }
}

function drawBar(label: string, done: number, total: number): string {
  const part = total === 0 ? 1 : Math.min(1, done / total)
  const full = Math.round(part * BAR_CELLS)
  const percent = String(Math.floor(part * 100)).padStart(3)
  const bar = '#'.repeat(full) + '·'.repeat(BAR_CELLS - full)
  return `${label} [${bar}] ${percent} %  ${done}/${total}`
}
