/** The one file of npm-registry-fetch that is read here; the package ships no types. */
declare module 'npm-registry-fetch/lib/default-opts.js' {
  export const registry: string
}
