/**
 * drizzle-kit's settings for `registry.db`: `bun run migrations` writes drizzle/registry from the
 * schema. The SQL there is generated, never edited.
 * @module
 */
import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'sqlite',
  schema: [
    './src/db/schema-registry.ts',
    './src/db/schema-revisions.ts',
    './src/db/schema-policy.ts',
    './src/db/schema-views.ts',
    './src/db/schema-samples.ts',
    './src/db/schema-accounts.ts',
    './src/db/schema-admin.ts',
    './src/db/schema-hosted.ts',
    './src/db/schema-stage.ts',
    './src/db/schema-oidc.ts',
    './src/db/schema-alerts.ts',
  ],
  out: './drizzle/registry',
})
