import type { JSONSchema7 } from 'json-schema';
import { describe, expect, it } from 'vitest';
import { formSchema, pruned, uiSchema, type NodeSchema } from '../formschema';
import { STREAM_SCHEMA } from './double';

const NOTHING = { keys: () => [], categories: [] };

describe('formSchema', () => {
  it('reads "or null" as "may be empty" and drops what a form cannot say', () => {
    const schema = formSchema(STREAM_SCHEMA, NOTHING);
    expect([schema.$schema, schema.title]).toEqual([undefined, undefined]);
    expect(schema.properties?.cron).toEqual({
      title: 'Cron',
      description: 'When it runs.',
      type: 'string'
    });
  });

  it('leaves out what the tree tells and what is out of date', () => {
    const old: NodeSchema = { type: 'string', deprecated: true };
    const schema = formSchema(
      { properties: { id: {}, key: {}, name: {}, old, cron: {} } },
      NOTHING
    );
    expect(schema.properties).toEqual({ cron: {} });
  });

  it('reaches into definitions, items and additional properties', () => {
    const nullable: JSONSchema7 = {
      anyOf: [{ type: 'number' }, { type: 'null' }]
    };
    const schema: JSONSchema7 = {
      $defs: { A: { type: 'object', properties: { a: nullable } } },
      properties: {
        list: { type: 'array', items: nullable },
        map: { type: 'object', additionalProperties: nullable },
        open: { type: 'object', additionalProperties: true }
      }
    };
    expect(formSchema(schema, NOTHING)).toEqual({
      $defs: { A: { type: 'object', properties: { a: { type: 'number' } } } },
      properties: {
        list: { type: 'array', items: { type: 'number' } },
        map: { type: 'object', additionalProperties: { type: 'number' } },
        open: { type: 'object', additionalProperties: true }
      }
    });
  });

  it('suggests keys of the tree and offers the categories', () => {
    const key: NodeSchema = { type: 'string', 'x-table': ['address'] };
    const schema = formSchema(
      { properties: { group: key, category: { type: 'string' } } },
      { keys: tables => [`/${tables.join()}/a/b`], categories: ['kafka'] }
    );
    expect(schema.properties?.group).toMatchObject({
      examples: ['/address/a/b']
    });
    expect(schema.properties?.category).toMatchObject({ enum: ['kafka'] });
  });
});

describe('uiSchema', () => {
  const drawn = (name: string, field: NodeSchema): unknown =>
    uiSchema({ properties: { [name]: field } })[name];

  it('puts first what is looked for first', () => {
    const schema = { properties: { ack: {}, client: {}, category: {} } };
    expect(uiSchema(schema)['ui:order']).toEqual(['category', 'client', '*']);
  });

  it('gives programs room', () => {
    const tall = { 'ui:widget': 'textarea', 'ui:options': { rows: 8 } };
    expect(uiSchema(STREAM_SCHEMA).template).toEqual(tall);
    const media: NodeSchema = {
      type: 'string',
      contentMediaType: 'text/x-sql'
    };
    expect(drawn('anything', media)).toEqual(tall);
  });

  it('shows defaults in grey, also those of definitions', () => {
    const schema: JSONSchema7 = {
      $defs: { C: { properties: { size: { type: 'integer', default: 5 } } } },
      properties: { client: { $ref: '#/$defs/C' } }
    };
    expect(uiSchema(schema).client).toEqual({
      size: { 'ui:placeholder': '5' }
    });
    expect(drawn('on', { type: 'boolean', default: true })).toEqual({
      'ui:widget': 'select',
      'ui:placeholder': 'Yes'
    });
  });

  it('takes a reference where a number is wanted', () => {
    expect(drawn('size', { type: ['integer', 'string'] })).toEqual({
      'ui:options': { inputType: 'text' }
    });
    expect(drawn('text', { type: ['string', 'null'] })).toBeUndefined();
  });

  it('bears a schema that holds itself', () => {
    const self: JSONSchema7 = { $ref: '#/$defs/T' };
    const schema: JSONSchema7 = {
      $defs: { T: { properties: { t: self, n: { default: 1 } } } },
      properties: { t: self }
    };
    expect(uiSchema(schema).t).toMatchObject({ n: { 'ui:placeholder': '1' } });
  });
});

describe('pruned', () => {
  it('drops what the form library added', () => {
    const before = { cron: 'x', arguments: {} };
    const value = {
      cron: undefined as unknown as string,
      arguments: {},
      errorRules: [],
      extraKeys: {},
      ack: { inner: {} },
      client: {}
    };
    expect(pruned(value, before, ['client'])).toEqual({
      arguments: {},
      client: {}
    });
  });

  it('keeps what was written', () => {
    const value = { a: { b: 0, c: false, d: '' }, list: [{}] };
    expect(pruned(value, {})).toEqual(value);
  });
});
