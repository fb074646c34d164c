/**
 * The operations on views of a running server, through its control socket.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { type ViewOperations, ViewShape } from '../registries/reading/views.ts'
import type { Call } from './control-accounts.ts'

export function viewClient(call: Call): ViewOperations {
  return {
    list: () => call('view/list', {}, Type.Array(ViewShape)),
    show: name => call('view/show', { name }, ViewShape),
    add: asked => call('view/add', asked, ViewShape),
    set: (name, settings) => call('view/set', { name, settings }, ViewShape),
    remove: name => call('view/remove', { name }, ViewShape),
  }
}
