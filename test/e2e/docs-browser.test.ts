/**
 * The API page in a real browser: headless Chromium, with everything but our origin cut off. An
 * operator logs in with a token, looks at a registry, adds it with the fingerprint that was shown,
 * sees its key, and a package of it is served. No error on the console, no violation of the page's
 * policy, no request to anybody else.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { type ServerProcess, startServer, whyNoServer } from './server.ts'

/** Where Debian's package `chromium` has it. */
const CHROMIUM = '/usr/bin/chromium'
const ADMIN_TOKEN = 'an-admin-token-that-only-this-test-knows'
const WAIT_MS = 60_000
const TEST_MS_MAX = 300_000

const Tagged = Type.Object({ 'dist-tags': Type.Object({ latest: Type.String() }) })

const noBrowser = existsSync(CHROMIUM) ? null : `SKIPPED: there is no ${CHROMIUM}`
const reason = noBrowser ?? (await whyNoServer())
if (reason !== null) console.log(`docs-browser: ${reason}`)

let npm: FixtureRegistry
let acme: FixtureRegistry
let server: ServerProcess
let browser: Browser

beforeAll(async () => {
  if (reason !== null) return
  npm = startFixtureRegistry({ packages: [] })
  acme = startFixtureRegistry({
    packages: [{ name: '@acme/widget', versions: [{ version: '1.0.0' }] }],
    seed: 'acme',
  })
  process.env['NPMX_REGISTRY_ADMIN_TOKEN'] = ADMIN_TOKEN
  server = await startServer({ upstream: npm.url })
  // The sandbox of the browser wants rights that a container has not; what it opens is ours alone.
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
})

afterAll(async () => {
  if (reason !== null) return
  delete process.env['NPMX_REGISTRY_ADMIN_TOKEN']
  await browser.close()
  await server[Symbol.asyncDispose]()
  await npm[Symbol.asyncDispose]()
  await acme[Symbol.asyncDispose]()
})

/** A page that reaches our origin alone, and what it tried and complained about. */
async function openPage(): Promise<{ page: Page; foreign: string[]; complaints: string[] }> {
  const foreign: string[] = []
  const complaints: string[] = []
  const context = await browser.newContext()
  await context.route('**/*', async route => {
    const url = route.request().url()
    if (url.startsWith(server.url) || url.startsWith('data:')) return await route.continue()
    foreign.push(url)
    return await route.abort()
  })
  const page = await context.newPage()
  page.setDefaultTimeout(WAIT_MS)
  page.on('console', message => {
    if (message.type() !== 'log' && message.type() !== 'debug') complaints.push(message.text())
  })
  page.on('pageerror', error => complaints.push(error.message))
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', event => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)
    })
  })
  return { page, foreign, complaints }
}

/** Carries one operation out on the page; answers with the status and the body that it shows. */
async function carryOut(
  page: Page,
  operationId: string,
  fill: (operation: Locator) => Promise<void>,
): Promise<{ status: number; text: string }> {
  const operation = page.locator(`.opblock[id$="-${operationId}"]`)
  await operation.locator('.opblock-summary-control').click()
  await fill(operation)
  await operation.locator('.execute').click()
  const answer = operation.locator('.live-responses-table')
  const status = await answer.locator('tbody .response-col_status').first().innerText()
  const text = await answer.locator('tbody .response-col_description pre').first().innerText()
  await operation.locator('.opblock-summary-control').click()
  return { status: Number(status.trim()), text }
}

const body = (value: object) => async (operation: Locator) => {
  await operation.locator('textarea.body-param__text').fill(JSON.stringify(value))
}

const parameters = (values: Record<string, string>) => async (operation: Locator) => {
  for (const [name, value] of Object.entries(values)) {
    await operation.locator(`tr[data-param-name="${name}"][data-param-in="path"] input`).fill(value)
  }
}

async function logIn(page: Page): Promise<void> {
  await page.locator('.opblock').first().waitFor()
  await page.locator('.auth-wrapper .authorize').click()
  const token = page.locator('.auth-container').filter({ hasText: '(http, Bearer)' })
  await token.locator('input').fill(ADMIN_TOKEN)
  await token.locator('button.authorize').click()
  await page.locator('.btn-done').first().click()
}

describe.if(reason === null)('the API page in Chromium', () => {
  test(
    'adds a registry and its key, and its packages are served',
    async () => {
      const { page, foreign, complaints } = await openPage()
      await page.goto(`${server.url}-/docs`)
      await logIn(page)

      const asked = { name: 'acme', url: acme.url, names: ['@acme/*'] }
      const probed = await carryOut(page, 'probeUpstream', body(asked))
      expect(probed.status).toBe(200)
      const keyid = /SHA256:[\w+/]{43}/.exec(probed.text)?.[0] ?? ''
      expect(keyid).toBe(acme.state.signer.published.keyid)
      expect((await fetch(`${server.url}@acme%2fwidget`)).status).toBe(404)
      const added = await carryOut(page, 'createUpstream', body({ ...asked, confirm: [keyid] }))
      expect(added.status).toBe(201)
      const first = await server.revalidateUntil('@acme/widget', text => text.includes('1.0.0'))
      expect(first).toContain(acme.integrityOf('@acme/widget', '1.0.0'))

      // The registry changes its key: what that signs waits until somebody approves of it.
      acme.act({ do: 'rotate-key' })
      acme.act({ do: 'publish', name: '@acme/widget', spec: { version: '2.0.0' } })
      const next = acme.state.signer.published.keyid
      // Keys are asked for every ten minutes, and at a start.
      await server.stop()
      await server.start()
      await server.revalidateUntil('@acme/widget', text => text.includes('2.0.0'))
      const shown = await carryOut(page, 'listUpstreamKeys', parameters({ name: 'acme' }))
      expect(shown.text).toContain(next)
      expect(shown.text).toContain('pending')
      const key = parameters({ name: 'acme', keyid: next })
      const approved = await carryOut(page, 'approveUpstreamKey', key)
      expect(approved.status).toBe(200)
      await server.revalidateUntil(
        '@acme/widget',
        text => latestOf(text) === '2.0.0' && !text.includes('/-/blocked/'),
      )

      const file = await fetch(`${server.url}@acme/widget/-/widget-2.0.0.tgz`)
      const bytes = new Uint8Array(await file.arrayBuffer())
      const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
      expect(integrity).toBe(acme.integrityOf('@acme/widget', '2.0.0'))
      expect({ foreign, complaints }).toEqual({ foreign: [], complaints: [] })
    },
    TEST_MS_MAX,
  )

  test(
    'a script of a stranger does not run on it',
    async () => {
      const { page, complaints } = await openPage()
      await page.goto(`${server.url}-/docs`)
      await page.locator('.opblock').first().waitFor()
      await page.evaluate(() => {
        const script = document.createElement('script')
        script.textContent = 'document.title = "taken over"'
        document.body.append(script)
      })
      expect(await page.title()).toBe('npmx-registry admin API')
      expect(complaints.join(' ')).toContain('script-src')
    },
    TEST_MS_MAX,
  )
})

function latestOf(packument: string): string | null {
  const document: unknown = JSON.parse(packument)
  return Value.Parse(Tagged, document)['dist-tags'].latest
}
