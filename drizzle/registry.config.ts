/**
 * drizzle-kit's settings for `registry.db`: `bun run migrations` writes drizzle/registry from the
 * schema. The SQL there is generated, never edited.
 * @module
 */
import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'sqlite',
  schema: './src/db/schema-registry.ts',
  out: './drizzle/registry',
})
