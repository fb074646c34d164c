/**
 * A plain page for people who open one of our URLs in a browser. Text only: every value is
 * escaped, nothing is loaded from anywhere, and it works without JavaScript.
 * @module
 */
const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}' +
  'dt{font-weight:600;margin-top:1rem}dd{margin:0;overflow-wrap:anywhere}' +
  'code,pre{font-family:ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}'

/** The one style sheet is allowed by its hash: nothing else may style, run or be framed. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${new Bun.CryptoHasher('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** One labelled fact on a page; the value is shown as text. */
export type Fact = readonly [label: string, value: string]

/** An HTML answer: a title, one paragraph and a list of facts. */
export function page(
  status: number,
  title: string,
  lead: string,
  facts: readonly Fact[],
): Response {
  const rows = facts
    .map(
      ([label, value]) =>
        `<dt>${Bun.escapeHTML(label)}</dt><dd><pre>${Bun.escapeHTML(value)}</pre></dd>`,
    )
    .join('')
  const html =
    `<!doctype html><html lang="en"><meta charset="utf-8">` +
    `<meta name="viewport" content="width=device-width"><title>${Bun.escapeHTML(title)}</title>` +
    `<style>${STYLE}</style><h1>${Bun.escapeHTML(title)}</h1>` +
    `<p>${Bun.escapeHTML(lead)}</p><dl>${rows}</dl></html>`
  return new Response(html, {
    status,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    },
  })
}
