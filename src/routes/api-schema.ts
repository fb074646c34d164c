/**
 * From the shapes that requests and answers are checked with (TypeBox, JSON Schema draft 7 and
 * later) to the schema objects of OpenAPI 3.0.3
 * (https://spec.openapis.org/oas/v3.0.3#schema-object), which knows neither `const` nor a type
 * `null` nor patterns of properties. Pure.
 *
 * A shape with an `$id` becomes a reference, and is handed to `named`.
 * @module
 */
type Json = Record<string, unknown>

/** What OpenAPI 3.0.3 takes over as it is. */
const KEPT = [
  'type',
  'title',
  'description',
  'format',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'minItems',
  'maxItems',
  'uniqueItems',
  'default',
  'enum',
  'required',
]

/** Schemas under `components`, by name. */
export type Named = Map<string, Json>

/** The schema object of a shape. */
export function openApiSchema(shape: unknown, named: Named): Json {
  if (!isJson(shape)) return {}
  const id = shape['$id']
  if (typeof id !== 'string') return plain(shape, named)
  if (!named.has(id)) {
    // First the name: a shape that holds itself would not end.
    named.set(id, {})
    named.set(id, plain(shape, named))
  }
  return { $ref: `#/components/schemas/${id}` }
}

function plain(shape: Json, named: Named): Json {
  const kept = Object.fromEntries(
    KEPT.filter(key => shape[key] !== undefined).map(key => [key, shape[key]]),
  )
  const variants = shape['anyOf']
  if (Array.isArray(variants)) return { ...kept, ...union(variants, named) }
  if (shape['const'] !== undefined) return { ...kept, enum: [shape['const']] }
  if (isJson(shape['items'])) kept['items'] = openApiSchema(shape['items'], named)
  if (shape['type'] === 'object') Object.assign(kept, members(shape, named))
  const [example] = Array.isArray(shape['examples']) ? shape['examples'] : []
  return example === undefined ? kept : { ...kept, example }
}

/** Words become one enum; a variant `null` becomes `nullable`. */
function union(variants: readonly unknown[], named: Named): Json {
  const isNullable = variants.some(each => isJson(each) && each['type'] === 'null')
  const others = variants.filter(each => isJson(each) && each['type'] !== 'null').filter(isJson)
  const words = others.flatMap(each => (each['const'] === undefined ? [] : [each['const']]))
  if (words.length > 0 && words.length === others.length) {
    const type = { type: typeof words[0] }
    return isNullable
      ? { ...type, enum: [...words, null], nullable: true }
      : { ...type, enum: words }
  }
  const [only] = others
  // A reference cannot be nullable (3.0.3: what it refers to would have to be), so it is spelt out.
  if (isNullable && only !== undefined && others.length === 1) {
    return { ...plain(only, named), nullable: true }
  }
  const anyOf = others.map(each => openApiSchema(each, named))
  return isNullable ? { anyOf: [...anyOf, { nullable: true, enum: [null] }] } : { anyOf }
}

function members(shape: Json, named: Named): Json {
  const found: Json = {}
  if (isJson(shape['properties'])) {
    const each = Object.entries(shape['properties'])
    found['properties'] = Object.fromEntries(
      each.map(([name, value]) => [name, openApiSchema(value, named)]),
    )
  }
  const [values] = isJson(shape['patternProperties'])
    ? Object.values(shape['patternProperties'])
    : []
  if (values !== undefined) found['additionalProperties'] = openApiSchema(values, named)
  else if (shape['additionalProperties'] === false) found['additionalProperties'] = false
  return found
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
