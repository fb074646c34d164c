/**
 * Stands in for the module with which npm asks the trust root of Sigstore whose keys a registry
 * has. That root is on the internet and knows the public npm registry alone; what it answers for
 * every other host is "no such target", and that is what this says. Loaded by NODE_OPTIONS.
 *
 * @module
 */
'use strict'

const Module = require('node:module')

const load = Module._load
Module._load = function loadOrStandIn(request, ...rest) {
  return request === '@sigstore/tuf' ? { initTUF } : load.call(this, request, ...rest)
}

async function initTUF() {
  return {
    async getTarget() {
      throw Object.assign(new Error('no such target'), { code: 'TUF_FIND_TARGET_ERROR' })
    },
  }
}
