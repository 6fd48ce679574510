import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidKey, Key, shape } from '../key';

interface IKeys {
  valid: {
    text: string;
    table: string;
    segments: string[];
    canonical: string;
    parent: string | null;
    name: string;
  }[];
  invalid: { text: string; code: string }[];
}

/** The file that the Python side is tested on as well. */
const FILE = resolve(import.meta.dirname, '../../../tests/data/keys.json');
const keys = JSON.parse(readFileSync(FILE, 'utf8')) as IKeys;

describe('Key', () => {
  it.each(keys.valid)('reads $text', row => {
    const key = Key.parse(row.text);
    expect(key.table).toBe(row.table);
    expect(key.segments).toEqual(row.segments);
    expect(String(key)).toBe(row.canonical);
    expect(key.name).toBe(row.name);
    expect(key.parent && String(key.parent)).toBe(row.parent);
    expect(Key.parse(String(key))).toEqual(key);
  });

  it.each(keys.invalid)('refuses $text', ({ text, code }) => {
    let caught: unknown;
    try {
      Key.parse(text);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(InvalidKey);
    expect((caught as InvalidKey).code).toBe(code);
    expect((caught as InvalidKey).message).toMatch(/\.$/);
  });

  it('finds the shared examples', () => {
    expect(existsSync(FILE)).toBe(true);
    expect(keys.valid.length).toBeGreaterThan(10);
  });

  it('tells the namespace and the form of a table', () => {
    expect(Key.parse('/sink/a/t/s/out').ns).toBe('a');
    expect(shape('stream')).toBe('/stream/:ns/:task/:stream');
  });

  it('is made of a table and its segments', () => {
    expect(String(Key.of('task', ['a', 't']))).toBe('/task/a/t');
    expect(() => Key.of('task', ['a'])).toThrow(/2 segments/);
    expect(() => Key.of('task', ['a', 'x'.repeat(600)])).toThrow(/512/);
  });

  it('does not take a property of every object for a table', () => {
    expect(() => Key.parse('/constructor/a')).toThrow(/is no table/);
  });
});
