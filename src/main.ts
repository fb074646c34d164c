/**
 * The entry of the binary. It runs the command line and does nothing else; a command's own modules
 * are loaded by `cli/program.ts` when that command is asked for.
 * @module
 */
import { processIo } from './cli/io.ts'
import { run } from './cli/program.ts'

process.exitCode = await run(process.argv.slice(2), processIo())
