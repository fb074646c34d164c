/**
 * Starts the API page in the browser; embedded as text (docs-assets.ts). Paths are relative, so that
 * a prefix of the public URL needs no mention. In a session, changes carry its CSRF token: the page
 * asks for it from the same origin.
 * @module
 */
'use strict'
const api = new URL('api/', document.baseURI).href
const safe = new Set(['GET', 'HEAD'])

async function csrf() {
  const answer = await fetch(api + 'sessions/current', { headers: { accept: 'application/json' } })
  return answer.ok ? (await answer.json()).csrf : null
}

async function withCsrf(request) {
  const isOurs = request.url.startsWith(api)
  const method = (request.method || 'GET').toUpperCase()
  if (!isOurs || safe.has(method) || request.headers.Authorization) return request
  const token = await csrf()
  if (token !== null) request.headers['x-csrf-token'] = token
  return request
}

SwaggerUIBundle({
  url: api + 'openapi.json',
  domNode: document.getElementById('docs'),
  validatorUrl: null,
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  requestInterceptor: withCsrf,
})
