/**
 * drizzle-kit's settings for `cache.db`: `bun run migrations` writes drizzle/cache from the schema.
 * The SQL there is generated, never edited.
 * @module
 */
import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'sqlite',
  schema: './src/db/schema-cache.ts',
  out: './drizzle/cache',
})
