/**
 * From a table's JSON Schema to what the form library draws well. Pure.
 *
 * Owns what is hidden, tall, suggested or shown as a default. A default is shown in grey and never written: what a
 * node does not say stays unsaid.
 */

import {
  type JSONObject,
  type JSONValue,
  type ReadonlyJSONObject,
  type ReadonlyJSONValue
} from '@lumino/coreutils';
import type { UiSchema } from '@rjsf/utils';
import type { JSONSchema7, JSONSchema7Definition } from 'json-schema';

/** A schema with the broker's own words: of which tables a text names a key. */
export type NodeSchema = JSONSchema7 & {
  readonly 'x-table'?: readonly string[];
  readonly deprecated?: boolean;
};

/** What of the tree a form can suggest. */
export interface ISuggestions {
  /** Keys of these tables. */
  readonly keys: (tables: readonly string[]) => string[];
  /** Categories for a table that has them, empty for others. */
  readonly categories: readonly string[];
}

type Ui = UiSchema<ReadonlyJSONObject>;

/** Fields that the tree and the title tell already. */
const HIDDEN: readonly string[] = ['id', 'key', 'name'];

/** What a person looks for first, in this order, above the rest. */
const FIRST: readonly string[] = [
  'category',
  'address',
  'client',
  'status',
  'cron',
  'template'
];

/** Texts that need room: programs, queries, certificates. */
const LONG = /^(template|sql|query|source|script|pem)$/;

/** Deeper than any connector's options; ends a schema that holds itself. */
const DEEPEST = 8;

/** The schema that the form draws. What it leaves out stays in the value as it is. */
export function formSchema(
  schema: JSONSchema7,
  { keys, categories }: ISuggestions
): JSONSchema7 {
  const whole = { ...schema };
  for (const name of ['$schema', '$id', 'title', 'description'] as const) {
    delete whole[name];
  }
  whole.properties = Object.fromEntries(
    Object.entries(schema.properties ?? {}).filter(
      ([name]) => !HIDDEN.includes(name)
    )
  );
  const drawn = simple(whole, keys) as JSONSchema7;
  const category = drawn.properties?.category;
  if (typeof category === 'object' && categories.length) {
    const choice = { ...category, enum: [...categories] };
    drawn.properties = { ...drawn.properties, category: choice };
  }
  return drawn;
}

/** How the fields of `schema` are drawn; `schema` as the broker gave it, for its defaults. */
export function uiSchema(schema: JSONSchema7): Ui {
  const own = Object.keys(schema.properties ?? {});
  const first = FIRST.filter(name => own.includes(name));
  return { ...fields(schema, schema, 0), 'ui:order': [...first, '*'] };
}

/**
 * `value` without what the form library adds by itself: empty objects and lists that `before` had not and `required`
 * does not name.
 */
export function pruned(
  value: ReadonlyJSONObject,
  before: ReadonlyJSONObject,
  required: readonly string[] = []
): JSONObject {
  const kept: JSONObject = {};
  for (const [name, field] of Object.entries(value)) {
    const stored = before[name];
    const rest = isObject(field)
      ? pruned(field, isObject(stored) ? stored : {})
      : field;
    const wanted = stored !== undefined || required.includes(name);
    if (rest !== undefined && (wanted || !isEmpty(rest))) {
      kept[name] = rest as JSONValue;
    }
  }
  return kept;
}

function isObject(
  value: ReadonlyJSONValue | undefined
): value is ReadonlyJSONObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmpty(value: ReadonlyJSONValue): boolean {
  return (
    value !== null &&
    typeof value === 'object' &&
    Object.keys(value).length === 0
  );
}

function simple(
  schema: JSONSchema7Definition,
  keys: ISuggestions['keys']
): JSONSchema7Definition {
  if (typeof schema !== 'object') {
    return schema;
  }
  const copy: NodeSchema = { ...withoutNull(schema) };
  delete copy.default;
  if (copy['x-table']) {
    copy.examples = keys(copy['x-table']);
  }
  for (const name of ['properties', '$defs', 'definitions'] as const) {
    const inner = copy[name];
    if (inner) {
      const shown = Object.entries(inner).filter(([, field]) => !old(field));
      copy[name] = Object.fromEntries(
        shown.map(([field, value]) => [field, simple(value, keys)])
      );
    }
  }
  return nested(copy, keys);
}

function old(field: JSONSchema7Definition): boolean {
  return typeof field === 'object' && !!(field as NodeSchema).deprecated;
}

function nested(schema: JSONSchema7, keys: ISuggestions['keys']): JSONSchema7 {
  const { items, additionalProperties } = schema;
  if (items !== undefined && !Array.isArray(items)) {
    schema.items = simple(items, keys);
  }
  if (typeof additionalProperties === 'object') {
    schema.additionalProperties = simple(additionalProperties, keys);
  }
  for (const name of ['anyOf', 'oneOf', 'allOf'] as const) {
    if (schema[name]) {
      schema[name] = schema[name]?.map(choice => simple(choice, keys));
    }
  }
  return schema;
}

/** "X or null" is X that may be left empty. */
function withoutNull(schema: JSONSchema7): JSONSchema7 {
  const choices = schema.anyOf?.filter(
    choice => !(typeof choice === 'object' && choice.type === 'null')
  );
  const [only] = choices ?? [];
  if (!choices || typeof only !== 'object') {
    return schema;
  }
  const outer = { ...schema };
  delete outer.anyOf;
  return choices.length === 1
    ? { ...only, ...outer }
    : { ...outer, anyOf: choices };
}

function fields(schema: JSONSchema7, root: JSONSchema7, depth: number): Ui {
  const ui: Ui = {};
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    if (typeof field === 'object') {
      const inner = resolved(field, root);
      const own = drawing(name, { ...inner, ...field });
      const below = depth < DEEPEST ? fields(inner, root, depth + 1) : {};
      if (Object.keys(own).length + Object.keys(below).length) {
        ui[name] = { ...below, ...own };
      }
    }
  }
  return ui;
}

/** How one field is drawn. */
function drawing(name: string, field: NodeSchema): Ui {
  const types = [withoutNull(field).type ?? []].flat();
  const hint = defaultText(field.default);
  const ui: Ui = hint ? { 'ui:placeholder': hint } : {};
  if (types.includes('string') && types.length > 1 && !types.includes('null')) {
    // A number that may also be a reference such as ${v.field}: the box must take both.
    ui['ui:options'] = { inputType: 'text' };
  } else if (types.includes('boolean') && hint) {
    ui['ui:widget'] = 'select';
  } else if (
    types.includes('string') &&
    (LONG.test(name) || field.contentMediaType)
  ) {
    ui['ui:widget'] = 'textarea';
    ui['ui:options'] = { rows: 8 };
  }
  return ui;
}

function defaultText(value: unknown): string {
  switch (typeof value) {
    case 'boolean':
      return value ? 'Yes' : 'No';
    case 'string':
    case 'number':
      return String(value);
    default:
      return '';
  }
}

function resolved(schema: JSONSchema7, root: JSONSchema7): JSONSchema7 {
  const name = /^#\/\$defs\/(.+)$/.exec(schema.$ref ?? '')?.[1];
  const found = name === undefined ? undefined : root.$defs?.[name];
  return typeof found === 'object' ? found : schema;
}
