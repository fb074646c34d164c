/** The script that starts the API page is imported `with { type: 'text' }`. */
declare module '*/docs-start.js' {
  const text: string
  export default text
}

/** Files of swagger-ui-dist are imported `with { type: 'file' }`: what is imported is their path. */
declare module 'swagger-ui-dist/*' {
  const path: string
  export default path
}
