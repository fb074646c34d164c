/**
 * `incident list|show|resolve`: what was found to be wrong, and an operator's word on it, of a
 * running server or of a data dir that no server has open.
 * @module
 */
import type { Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import type { IncidentDetail, IncidentView } from '../registries/operator/operator-incidents.ts'
import { withOperations } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { table } from './table.ts'

type Shape = { json: boolean }

/** @param wanted of one package only; `all`: those too that are settled */
export async function incidentList(
  flags: Flags,
  wanted: { package: string | undefined; all: boolean },
  shape: Shape,
  io: Io,
): Promise<number> {
  const { package: name, all } = wanted
  return await withOperations(flags, io, async ({ incidents }) => {
    const found = await incidents.list({ all, ...(name !== undefined && { package: name }) })
    io.out(shape.json ? `${JSON.stringify({ incidents: found })}\n` : listText(found))
    return EXIT.ok
  })
}

export async function incidentShow(
  flags: Flags,
  id: string,
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withOperations(flags, io, async ({ incidents }) => {
    const found = await incidents.show(id)
    io.out(shape.json ? `${JSON.stringify(found)}\n` : showText(found))
    return EXIT.ok
  })
}

export async function incidentResolve(
  flags: Flags,
  id: string,
  reason: string | undefined,
  shape: Shape,
  io: Io,
): Promise<number> {
  if (reason === undefined) {
    throw new ConfigError('say why with --reason: whoever reads the audit trail will ask')
  }
  return await withOperations(flags, io, async ({ incidents }) => {
    const settled = await incidents.resolve(id, reason)
    io.out(shape.json ? `${JSON.stringify(settled)}\n` : viewText(settled))
    return EXIT.ok
  })
}

function listText(incidents: readonly IncidentView[]): string {
  if (incidents.length === 0) return 'no incidents\n'
  return table(
    ['id', 'code', 'version', 'state', 'last seen', 'times'],
    incidents.map(each => [
      each.id,
      each.code,
      aboutText(each),
      each.state,
      each.lastSeen,
      String(each.count),
    ]),
  )
}

function showText(incident: IncidentDetail): string {
  return `${viewText(incident)}evidence\n${JSON.stringify(incident.evidence, null, 2)}\n`
}

function viewText(incident: IncidentView): string {
  const { id, code, state, sentence, created, lastSeen, count, resolution } = incident
  const rows: [string, string][] = [
    ['id', id],
    ['code', code],
    ['version', aboutText(incident)],
    ['state', state],
    ['first seen', created],
    ['last seen', `${lastSeen} (${count} times)`],
    ['sentence', sentence],
  ]
  if (resolution !== null) {
    rows.push(['settled', `${resolution.created} by ${resolution.actor}: ${resolution.reason}`])
  }
  return rows.map(([title, text]) => `${title.padEnd(10)}  ${text}\n`).join('')
}

/** Some are about a registry and no package. */
function aboutText({ namespace, package: name, version }: IncidentView): string {
  return name === '' ? namespace : `${namespace}/${name}@${version}`
}
