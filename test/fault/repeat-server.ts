/**
 * One request under an Idempotency-Key to a whole instance that is killed in the middle of it:
 * `bun repeat-server.ts <data dir> <where> <path> <key> <body>`. Run by repeat-kill.test.ts.
 * @module
 */
import { Idempotency } from '../../src/db/idempotency.ts'
import { Served } from './publish-server.ts'

/** `begin`: within the transaction of the change; `keep`: after it, before the answer is kept. */
type Struck = 'begin' | 'keep'

function strike(where: Struck): void {
  const whole = Idempotency.prototype[where]
  Idempotency.prototype[where] = function struck(...args: Parameters<typeof whole>) {
    if (where === 'begin') Reflect.apply(whole, this, args)
    process.kill(process.pid, 'SIGKILL')
  }
}

const [dataDir = '', where = '', path = '', key = '', body = ''] = process.argv.slice(2)
if (where !== 'begin' && where !== 'keep') throw new Error(`strike where? ${where}`)
strike(where)
await using served = await Served.on(dataDir)
const { status } = await served.post(path, JSON.parse(body), { 'idempotency-key': key })
console.log(`it lives, and answers ${status}`)
