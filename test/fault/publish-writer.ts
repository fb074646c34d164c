/**
 * The publisher that the tests of this folder strike: `publish-writer.ts DATA_DIR KIND` opens
 * the data dir, publishes once through the front door and says on stdout what its client saw:
 *
 *     publishing
 *     answered <status>
 * @module
 */
import { writeSync } from 'node:fs'
import { Served, STRUCK } from './publish-server.ts'

const [dataDir = '', kind = 'next'] = process.argv.slice(2)
const served = await Served.on(dataDir)
// What a start does beside everything else is over by then.
await Bun.sleep(100)
writeSync(1, 'publishing\n')
const struck = Object.entries(STRUCK).find(([name]) => name === kind)?.[1] ?? STRUCK.next
const { status } = await served.publish(struck)
writeSync(1, `answered ${status}\n`)
// No orderly end: it would tidy up.
process.exit(0)
