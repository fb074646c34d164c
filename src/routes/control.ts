/**
 * The control socket: the operations of an operator, as JSON over HTTP on a socket in the data dir.
 * `POST /upstream/add` with the arguments as its body answers with the result.
 *
 * Whoever may open the socket may do everything here: the folder and the socket are this user's
 * alone (services-admin.ts), so no further question is asked. It answers on no network.
 * @module
 */
import { RegistryError } from '../registries/errors.ts'
import { operate, type Operations } from '../registries/operator/operations.ts'
import { errorResponse, type Report } from './errors.ts'

/** What the socket offers. */
export type ControlNeeds = { operations: Operations; report: Report }

/** Answers one request of the socket. */
export async function answerControl(request: Request, needs: ControlNeeds): Promise<Response> {
  try {
    if (request.method !== 'POST') {
      throw new RegistryError('not-found', 'the control socket answers POST alone')
    }
    const name = new URL(request.url).pathname.slice(1)
    return Response.json(await operate(needs.operations, name, await argumentsOf(request)))
  } catch (error) {
    return errorResponse(error, request, needs.report)
  }
}

async function argumentsOf(request: Request): Promise<unknown> {
  try {
    return await request.json()
  } catch {
    throw new RegistryError('bad-request', 'the arguments are not JSON')
  }
}
