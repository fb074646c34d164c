/**
 * Which jobs a trusted publisher is: what an operator or maintainer writes down of a CI system, as
 * `npm trust` sends it, and whether the claims of an id token are those of such a job.
 *
 *     { "type": "github", "claims": { "repository": "roe/kit", "workflow_ref": { "file": "release.yml" },
 *                                     "environment": "npm" } }
 *
 * - GitHub Actions: https://docs.github.com/actions/reference/security/oidc (`workflow_ref` is
 *   `roe/kit/.github/workflows/release.yml@refs/heads/main`)
 * - GitLab: https://docs.gitlab.com/ci/secrets/id_token_authentication (`ci_config_ref_uri` is
 *   `gitlab.example.com/roe/kit//.gitlab-ci.yml@refs/heads/main`)
 * - CircleCI: https://circleci.com/docs/guides/permissions-authentication/openid-connect-tokens/
 * - generic: every claim that is written down is in the token, letter for letter; `sub` must be.
 *
 * Names of accounts and repositories can be given up and taken by others. The claims in `PINNED` say
 * which account it is; those of the first token that was taken must be in all later ones.
 *
 * @module
 */
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { TrustedPublisherRow } from '../../db/trusted-publishers.ts'
import { RegistryError } from '../errors.ts'

export type IssuerType = TrustedPublisherRow['type']
export type Claims = Readonly<Record<string, unknown>>

const CLOSED = { additionalProperties: false } as const
const TEXT_CHARS_MAX = 300
/** Its lengths stand in the pattern: TypeBox reads those beside one of a value that is missing. */
const Text = Type.RegExp(new RegExp(`^[^\\p{C}]{1,${TEXT_CHARS_MAX}}$`, 'u'))
/** In the claim an `@` ends it. */
const File = Type.Object(
  { file: Type.String({ maxLength: TEXT_CHARS_MAX, pattern: '^[\\w.-][\\w. -]*\\.ya?ml$' }) },
  CLOSED,
)
const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' })

const GithubClaims = Type.Object(
  {
    repository: Type.String({ maxLength: TEXT_CHARS_MAX, pattern: '^[\\w.-]+/[\\w.-]+$' }),
    workflow_ref: File,
    environment: Type.Optional(Text),
  },
  CLOSED,
)
const GitlabClaims = Type.Object(
  {
    project_path: Type.String({ maxLength: TEXT_CHARS_MAX, pattern: '^[\\w.-]+(/[\\w.-]+)+$' }),
    ci_config_ref_uri: File,
    environment: Type.Optional(Text),
  },
  CLOSED,
)
const CIRCLE = 'oidc.circleci.com/'
const CIRCLE_EXACT = ['org-id', 'project-id', 'pipeline-definition-id', 'vcs-origin'] as const
const CIRCLE_CONTEXTS = `${CIRCLE}context-ids`
const CONTEXTS_MAX = 20
const CircleciClaims = Type.Object(
  {
    [`${CIRCLE}org-id`]: Uuid,
    [`${CIRCLE}project-id`]: Uuid,
    [`${CIRCLE}pipeline-definition-id`]: Uuid,
    [`${CIRCLE}vcs-origin`]: Text,
    [CIRCLE_CONTEXTS]: Type.Optional(Type.Array(Uuid, { maxItems: CONTEXTS_MAX })),
  },
  CLOSED,
)
const CLAIMS_MAX = 10
const GenericClaims = Type.Intersect([
  Type.Object({ sub: Text }),
  Type.Record(Type.String({ minLength: 1, maxLength: 100 }), Text, { maxProperties: CLAIMS_MAX }),
])

const Types = Type.Union([
  Type.Literal('github'),
  Type.Literal('gitlab'),
  Type.Literal('circleci'),
  Type.Literal('generic'),
])
/** One trusted publisher as it is asked for. */
export const TrustShape = Type.Object({
  type: Types,
  claims: Type.Record(Type.String(), Type.Unknown()),
  /** Not npm's: for GitLab of one's own, and for what is generic. */
  issuer: Type.Optional(Text),
  permissions: Type.Optional(
    Type.Array(Type.Union([Type.Literal('createPackage'), Type.Literal('createStagedPackage')]), {
      minItems: 1,
      maxItems: 2,
    }),
  ),
})
export type TrustRequest = Static<typeof TrustShape>
/** An issuer as it is asked for. */
export const IssuerShape = Type.Object({ issuer: Text, type: Types }, CLOSED)

const SHAPES = {
  github: GithubClaims,
  gitlab: GitlabClaims,
  circleci: CircleciClaims,
  generic: GenericClaims,
} as const satisfies Record<IssuerType, TSchema>
const USUAL_ISSUERS: ReadonlyMap<IssuerType, string> = new Map([
  ['github', 'https://token.actions.githubusercontent.com'],
  ['gitlab', 'https://gitlab.com'],
])
/** Claims that name an account or a repository for good. */
const PINNED: ReadonlyMap<IssuerType, readonly string[]> = new Map([
  ['github', ['repository_id', 'repository_owner_id']],
  ['gitlab', ['project_id', 'namespace_id']],
])

/** The issuer of the tokens that this is about. Throws `bad-request`, `unprocessable`. */
export function issuerOf({ type, claims, issuer }: TrustRequest): string {
  checkClaims(type, claims)
  const usual =
    type === 'circleci'
      ? `https://${CIRCLE}org/${String(claims[`${CIRCLE}org-id`])}`
      : USUAL_ISSUERS.get(type)
  const named = issuer ?? usual
  if (named === undefined) throw new RegistryError('bad-request', 'the issuer is to be named')
  return named
}

function checkClaims(type: IssuerType, claims: Claims): void {
  const shape = SHAPES[type]
  const [error] = Value.Errors(shape, claims)
  if (error === undefined) return
  const why = `the claims of a ${type} publisher are not of the expected form: ${error.path}`
  throw new RegistryError('bad-request', `${why} ${error.message}`)
}

/** Are the claims of a token those of a job of this publisher? */
export function isJobOf(publisher: TrustedPublisherRow, token: Claims): boolean {
  const { pinned, issuer } = publisher
  const isSame = Object.entries(pinned ?? {}).every(([name, value]) => token[name] === value)
  return isSame && MATCHERS[publisher.type](publisher.claims, token, issuer)
}

/** What is remembered of the first token that was taken. */
export function pinnedOf({ type }: TrustedPublisherRow, token: Claims): Record<string, string> {
  const pairs = (PINNED.get(type) ?? []).flatMap((name): [string, string][] => {
    const value = token[name]
    return typeof value === 'string' ? [[name, value]] : []
  })
  return Object.fromEntries(pairs)
}

type Matcher = (wanted: Claims, token: Claims, issuer: string) => boolean

const MATCHERS: Record<IssuerType, Matcher> = {
  github(wanted, token) {
    const repository = textOf(wanted['repository'])
    const isFile = isRefOf(
      token['workflow_ref'],
      `${repository}/.github/workflows/`,
      wanted['workflow_ref'],
    )
    return isSameName(token['repository'], repository) && isFile && isEnvironment(wanted, token)
  },
  gitlab(wanted, token, issuer) {
    const project = textOf(wanted['project_path'])
    const folder = `${new URL(issuer).host}/${project}//`
    const isFile = isRefOf(token['ci_config_ref_uri'], folder, wanted['ci_config_ref_uri'])
    return isSameName(token['project_path'], project) && isFile && isEnvironment(wanted, token)
  },
  circleci(wanted, token) {
    const isExact = CIRCLE_EXACT.every(name => {
      const key = `${CIRCLE}${name}`
      return textOf(wanted[key]) !== '' && token[key] === wanted[key]
    })
    const contexts: unknown = wanted[CIRCLE_CONTEXTS] ?? []
    const has: unknown = token[CIRCLE_CONTEXTS] ?? []
    if (!Array.isArray(contexts) || !Array.isArray(has)) return false
    return isExact && contexts.every(each => has.includes(each))
  },
  generic(wanted, token) {
    const names = Object.keys(wanted)
    return names.includes('sub') && names.every(name => token[name] === wanted[name])
  },
}

// `<folder><file>@<ref>`; accounts and projects have no capitals of their own, files have.
function isRefOf(claim: unknown, folder: string, wanted: unknown): boolean {
  const file = Value.Check(File, wanted) ? wanted.file : undefined
  if (typeof claim !== 'string' || file === undefined) return false
  const start = claim.slice(0, folder.length)
  return isSameName(start, folder) && claim.slice(folder.length).startsWith(`${file}@`)
}

function isEnvironment(wanted: Claims, token: Claims): boolean {
  const environment = wanted['environment']
  return environment === undefined || token['environment'] === environment
}

function isSameName(claim: unknown, name: string): boolean {
  return typeof claim === 'string' && name !== '' && claim.toLowerCase() === name.toLowerCase()
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
