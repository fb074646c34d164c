/**
 * `config dump`: the settings in use, in the form of the configuration file, so that the output
 * can be kept as one. A setting without a value is a comment.
 * @module
 */
import { loadConfig, SETTINGS, type Flags } from '../config.ts'
import { EXIT, type Io } from './io.ts'

export function configDump(
  flags: Flags,
  shape: { json: boolean; showOrigin: boolean },
  io: Io,
): number {
  const { settings, warnings } = loadConfig(flags)
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  if (shape.json) {
    const shown = settings.map(({ name, value, origin }) =>
      shape.showOrigin ? { name, value, origin } : { name, value },
    )
    io.out(`${JSON.stringify({ settings: shown })}\n`)
    return EXIT.ok
  }
  for (const { name, value, origin } of settings) {
    if (shape.showOrigin) io.out(`# ${SETTINGS[name].about}; from ${origin}\n`)
    io.out(value === null ? `# ${name} is not set\n` : `${name} = ${JSON.stringify(value)}\n`)
  }
  return EXIT.ok
}
