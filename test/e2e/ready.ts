/**
 * What the end-to-end tests need before they can say anything, asked for once per file. Where it
 * is not to be had they skip, and a line on stderr says so: never silently.
 *
 * @module
 */

import { installClients } from './clients.ts'
import { whyNoServer } from './server.ts'

/** True when the real clients are installed. */
export async function clientsReady(): Promise<boolean> {
  return said(await installClients())
}

/** True when the real clients are installed and the program under test serves. */
export async function clientsAndServerReady(): Promise<boolean> {
  return (await clientsReady()) && said(await whyNoServer())
}

/** True when the program under test serves. */
export async function serverReady(): Promise<boolean> {
  return said(await whyNoServer())
}

function said(reason: string | null): boolean {
  if (reason !== null) console.error(reason)
  return reason === null
}
