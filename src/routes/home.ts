/**
 * `GET /`: what this server is, for a person in a browser and for a program.
 * @module
 */
import { page } from './page.ts'
import { wantsPage } from './request.ts'

/** Answers a request for the root. */
export type Home = (request: Request) => Response

/** What the root says. @property publicUrl ends in `/` */
export type HomeFacts = { version: string; publicUrl: string; vkey: string }

/** The root of the registry. */
export function homeRoute(facts: HomeFacts): Home {
  return request =>
    wantsPage(request)
      ? page(
          200,
          'npmx-registry',
          'Every version served here was checked and stands in a public log.',
          [
            ['use it with npm', `npm config set registry ${facts.publicUrl}`],
            ['log', `${facts.publicUrl}-/sumdb/checkpoint`],
            ['verifier key of the log', facts.vkey],
            ['version', facts.version],
          ],
        )
      : Response.json({
          name: 'npmx-registry',
          version: facts.version,
          registry: facts.publicUrl,
          log: `${facts.publicUrl}-/sumdb/`,
          vkey: facts.vkey,
        })
}
