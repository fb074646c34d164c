/**
 * A log writer that is killed by the tests of this folder. It opens the data dir given, goes on
 * numbering where the log ends, and says on stdout, after each publish, what a server would have
 * acknowledged by then:
 *
 *     ready
 *     leaf <number> <index>
 *     note <base64 of the published checkpoint>
 *
 * `once <count>`: one append of so many leaves, then the end. `load`: appends until it is killed.
 * @module
 */
import { writeSync } from 'node:fs'
import { lockDataDir } from '../../src/db/lock.ts'
import { openLog } from '../unit/db/data-dir.ts'
import { versionLeaf } from '../unit/log/leaves.ts'

const [dataDir = '', mode = 'load', count = '1'] = process.argv.slice(2)

lockDataDir(dataDir, process.pid)
const { log } = openLog(dataDir)
say('ready')
say(`note ${btoa(log.checkpoint.replaceAll('—', '-'))}`)
if (mode === 'once') append(Number(count))
// Bounded: the parent kills long before, but a lost child must not run for ever.
else for (let round = 0; round < 10_000; round++) append(batchSize())

function append(leaves: number): void {
  const start = log.size
  const numbers = Array.from({ length: leaves }, (_, offset) => start + offset)
  const outcomes = log.append(numbers.map(number => versionLeaf(number)))
  log.publish()
  const lines = outcomes.map(({ index }, offset) => `leaf ${start + offset} ${index}`)
  say([...lines, `note ${btoa(log.checkpoint.replaceAll('—', '-'))}`].join('\n'))
}

/** Mostly single leaves; now and then enough to close one tile or two. */
function batchSize(): number {
  const dice = Math.random()
  if (dice < 0.97) return 1 + Math.floor(Math.random() * 4)
  return dice < 0.99 ? 64 : 300
}

/** Synchronous: what was said is in the pipe when the next instruction runs. */
function say(text: string): void {
  writeSync(1, `${text}\n`)
}
