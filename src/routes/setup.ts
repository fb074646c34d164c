/**
 * The first admin, by the one-time link that `serve` prints
 * (registries/accounts/accounts-setup.ts): a page that asks for a name and a password, and says how
 * to go on.
 * @module
 */
import { Elysia } from 'elysia'
import type { FirstAdmin } from '../registries/accounts/accounts-setup.ts'
import { RegistryError } from '../registries/errors.ts'
import type { Report } from './errors.ts'
import { assertOwnForm, formPage, outcomePage } from './form-page.ts'
import { guarded } from './guarded.ts'
import { rawPath } from './request.ts'
import { formBody } from './small-body.ts'

const SETUP = '/-/web/setup/'

/** What the surface needs. @property base the public URL, ending in `/` */
export type SetupRoutesNeeds = {
  firstAdmin: FirstAdmin
  base: string
  prefix: string
  report: Report
}

/** The link of a secret. @param base the public URL, ending in `/` */
export function setupLink(base: string, secret: string): string {
  return `${base}${SETUP.slice(1)}${secret}`
}

/** The setup surface. */
export function setupRoutes(needs: SetupRoutesNeeds) {
  const run = guarded(needs.report, `${SETUP}-`)
  const open = { detail: { 'x-scope': 'public' }, parse: 'none' } as const
  return new Elysia({ name: 'setup' })
    .get(
      `${SETUP}*`,
      run(({ request }) => {
        const secret = secretOf(request, needs)
        return orClosed(() => {
          needs.firstAdmin.assertOpen(secret)
          return setupPage(200, needs, null)
        })
      }),
      open,
    )
    .post(
      `${SETUP}*`,
      run(({ request }) => finish(request, needs)),
      open,
    )
}

async function finish(request: Request, needs: SetupRoutesNeeds): Promise<Response> {
  assertOwnForm(request, needs.base)
  const secret = secretOf(request, needs)
  const form = await formBody(request)
  const [name, password] = [(form.get('name') ?? '').trim(), form.get('password') ?? '']
  return await orClosed(async () => {
    needs.firstAdmin.assertOpen(secret)
    if (password !== form.get('again')) {
      return setupPage(422, needs, 'the two passwords differ')
    }
    try {
      await needs.firstAdmin.finish(secret, name, password)
    } catch (error) {
      const isTheirs = error instanceof RegistryError && TO_TRY_AGAIN.has(error.code)
      if (!isTheirs) throw error
      return setupPage(422, needs, error.message)
    }
    return donePage(name, needs)
  })
}

/** What is wrong with what was typed, rather than with the link. */
const TO_TRY_AGAIN: ReadonlySet<string> = new Set(['unprocessable', 'bad-request', 'conflict'])

/** People come here with a browser: a page says that the link is over. */
async function orClosed(work: () => Response | Promise<Response>): Promise<Response> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'not-found') throw error
    return outcomePage(404, 'This link is over', error.message)
  }
}

function secretOf(request: Request, needs: SetupRoutesNeeds): string {
  return rawPath(request, needs.prefix).slice(SETUP.length)
}

function setupPage(status: number, needs: SetupRoutesNeeds, problem: string | null): Response {
  return formPage(status, {
    title: `Set up ${new URL(needs.base).host}`,
    lead: 'Choose the name and the password of the first admin. This link works once.',
    facts: [],
    fields: [
      { name: 'name', label: 'User name', type: 'text', complete: 'username' },
      { name: 'password', label: 'Password', type: 'password', complete: 'new-password' },
      { name: 'again', label: 'Password again', type: 'password', complete: 'new-password' },
    ],
    hidden: {},
    button: 'Make the admin',
    problem,
  })
}

function donePage(name: string, needs: SetupRoutesNeeds): Response {
  return outcomePage(201, 'The admin is made', `${name} administers this registry.`, [
    ['log in with npm', `npm login --registry ${needs.base}`],
    ['add somebody', 'npmx-registry user add NAME'],
  ])
}
