/**
 * A page with one form, for people: logging in and setting up. No script, nothing loaded, every
 * value escaped; the form may be sent to this server alone, and no other page may frame it.
 *
 * A form counts only when it was sent from a page of ours: browsers say where one comes from in
 * `Origin` and `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/).
 * @module
 */
import { RegistryError } from '../registries/errors.ts'
import type { Fact } from './page.ts'

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:3rem auto;padding:0 1rem}' +
  'label{display:block;margin-top:1rem}dt{font-weight:600;margin-top:.5rem}dd{margin:0}' +
  'dd,code{overflow-wrap:anywhere;font-family:ui-monospace,monospace}' +
  'input{display:block;box-sizing:border-box;width:100%;font:inherit;padding:.4rem}' +
  'button{font:inherit;margin-top:1.5rem;padding:.5rem 1.5rem}[role=alert]{font-weight:600}'

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${new Bun.CryptoHasher('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ')

/** One field. @property complete what a password manager puts there (HTML, autocomplete) */
export type Field = {
  name: string
  label: string
  type: 'text' | 'password'
  complete: 'username' | 'current-password' | 'new-password'
}

/** @property hidden fields that come back as they are @property problem what went wrong last time */
export type Form = {
  title: string
  lead: string
  facts: readonly Fact[]
  fields: readonly Field[]
  hidden: Readonly<Record<string, string>>
  button: string
  problem: string | null
}

/** The page of a form, which is sent to where it came from. */
export function formPage(status: number, form: Form, headers: Record<string, string> = {}) {
  const problem = form.problem === null ? '' : `<p role="alert">${Bun.escapeHTML(form.problem)}</p>`
  const hidden = Object.entries(form.hidden).map(
    ([name, value]) =>
      `<input type="hidden" name="${Bun.escapeHTML(name)}" value="${Bun.escapeHTML(value)}">`,
  )
  const fields = form.fields.map(fieldHtml)
  const button = `<button type="submit">${Bun.escapeHTML(form.button)}</button>`
  const body =
    `${factsHtml(form.facts)}${problem}` +
    `<form method="post" action="">${hidden.join('')}${fields.join('')}${button}</form>`
  return answer(status, form.title, form.lead, body, headers)
}

/** The page that says how it went. */
export function outcomePage(
  status: number,
  title: string,
  lead: string,
  facts: readonly Fact[] = [],
  headers: Record<string, string> = {},
): Response {
  return answer(status, title, lead, factsHtml(facts), headers)
}

/** Refuses a form from elsewhere. @param publicUrl of this server @throws RegistryError forbidden */
export function assertOwnForm(request: Request, publicUrl: string): void {
  const site = request.headers.get('sec-fetch-site')
  const origin = request.headers.get('origin')
  const isOurs =
    (site === null || site === 'same-origin') &&
    (origin === null || origin === new URL(publicUrl).origin)
  if (!isOurs)
    throw new RegistryError('forbidden', 'this form was sent from a page of another site')
}

function fieldHtml({ name, label, type, complete }: Field): string {
  return (
    `<label>${Bun.escapeHTML(label)}<input name="${Bun.escapeHTML(name)}" type="${type}" ` +
    `autocomplete="${complete}" autocapitalize="none" spellcheck="false" required></label>`
  )
}

function factsHtml(facts: readonly Fact[]): string {
  const rows = facts.map(
    ([label, value]) => `<dt>${Bun.escapeHTML(label)}</dt><dd>${Bun.escapeHTML(value)}</dd>`,
  )
  return rows.length === 0 ? '' : `<dl>${rows.join('')}</dl>`
}

function answer(
  status: number,
  title: string,
  lead: string,
  body: string,
  headers: Record<string, string>,
): Response {
  const html =
    `<!doctype html><html lang="en"><meta charset="utf-8">` +
    `<meta name="viewport" content="width=device-width"><title>${Bun.escapeHTML(title)}</title>` +
    `<style>${STYLE}</style><h1>${Bun.escapeHTML(title)}</h1>` +
    `<p>${Bun.escapeHTML(lead)}</p>${body}</html>`
  return new Response(html, {
    status,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'x-content-type-options': 'nosniff',
      // With `no-referrer` browsers say `Origin: null` of our own form.
      'referrer-policy': 'same-origin',
      'cache-control': 'no-store',
      ...headers,
    },
  })
}
