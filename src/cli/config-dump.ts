/**
 * `config dump`: the settings in use, in the form of the configuration file, so that the output
 * can be kept as one. A setting without a value is a comment, and so is a secret.
 * @module
 */
import { isSecret, loadConfig, SETTINGS, type Flags } from '../config.ts'
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
    if (value === null) io.out(`# ${name} is not set\n`)
    else if (isSecret(name)) io.out(`# ${name} is set, and not shown\n`)
    else io.out(`${name} = ${JSON.stringify(value)}\n`)
  }
  return EXIT.ok
}
