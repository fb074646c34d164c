/**
 * `/-/docs`: the admin API as a page to read and to use, and a page for each type of problem.
 *
 * Nothing is loaded from anywhere else: scripts, styles and questions go to this origin alone, and
 * the page's own policy (https://www.w3.org/TR/CSP3/) has the browser see to it. Swagger UI needs
 * neither inline styles nor `eval`; its style sheet holds small pictures as `data:` URLs.
 * @module
 */
import { Elysia } from 'elysia'
import { ERROR_CODES, RegistryError } from '../registries/errors.ts'
import { PROBLEMS } from './api-problem.ts'
import { type Asset, DOCS_HTML, docsAsset } from './docs-assets.ts'
import { adminStatusOf, errorResponse, type Report } from './errors.ts'
import { page } from './page.ts'
import { isNotModified, wantedEncoding } from './request.ts'

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

const detail = { 'hide': true, 'x-scope': 'public' } as const

/** The page. */
export function docsRoutes({ report }: { report: Report }) {
  return new Elysia({ name: 'docs' })
    .get('/-/docs', docsPage, { detail })
    .get(
      '/-/docs/:file',
      async ({ request, params }) => {
        const asset = await docsAsset(params.file)
        return asset === null ? nothing(request, report) : sendAsset(request, asset)
      },
      { detail },
    )
    .get(
      '/-/docs/problems/:code',
      ({ request, params }) => problemPage(params.code) ?? nothing(request, report),
      { detail },
    )
}

function docsPage({ request }: { request: Request }): Response {
  // Its links are relative to this very path.
  if (new URL(request.url).pathname.endsWith('/')) {
    return new Response(null, { status: 302, headers: { ...HEADERS, location: '../docs' } })
  }
  return new Response(DOCS_HTML, {
    headers: {
      ...HEADERS,
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'cache-control': 'no-cache',
    },
  })
}

function sendAsset(request: Request, asset: Asset): Response {
  const headers: Record<string, string> = {
    ...HEADERS,
    'content-type': asset.type,
    'etag': asset.etag,
    'vary': 'accept-encoding',
    'cache-control': 'public, no-cache',
  }
  if (isNotModified(request.headers, asset.etag, Infinity)) {
    return new Response(null, { status: 304, headers })
  }
  if (wantedEncoding(request.headers.get('accept-encoding')) === 'identity') {
    return new Response(asset.identity, { headers })
  }
  return new Response(asset.gzip, { headers: { ...headers, 'content-encoding': 'gzip' } })
}

function problemPage(text: string): Response | null {
  const code = ERROR_CODES.find(known => known === text)
  if (code === undefined) return null
  const { title, remedy } = PROBLEMS[code]
  return page(200, title, remedy, [
    ['type', code],
    ['status', String(adminStatusOf(code))],
  ])
}

function nothing(request: Request, report: Report): Response {
  const why = 'there is no such page: /-/docs is where the API is described'
  return errorResponse(new RegistryError('not-found', why), request, report)
}
