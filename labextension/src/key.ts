/**
 * The twin of `teleporter_lab.config.key`: text becomes a Key here and nowhere else in the browser.
 *
 * Owns the tables, their number of segments and who is whose parent. Refuses to know what a value holds.
 */

/** Every table of the configuration tree. */
export type Table =
  | 'namespace'
  | 'broker'
  | 'instance'
  | 'group'
  | 'task'
  | 'partition'
  | 'stream'
  | 'source'
  | 'sink'
  | 'address'
  | 'variable';

/** The names of the segments of each table's keys, in order. */
export const SEGMENTS: Readonly<Record<Table, readonly string[]>> = {
  namespace: ['ns'],
  broker: ['ns', 'broker'],
  instance: ['ns', 'instance'],
  group: ['ns', 'group'],
  task: ['ns', 'task'],
  partition: ['ns', 'task', 'partition'],
  stream: ['ns', 'task', 'stream'],
  source: ['ns', 'task', 'stream', 'source'],
  sink: ['ns', 'task', 'stream', 'sink'],
  address: ['ns', 'address'],
  variable: ['ns', 'variable']
};

const PARENTS: Readonly<Record<Table, Table | null>> = {
  namespace: null,
  broker: 'namespace',
  instance: 'namespace',
  group: 'namespace',
  task: 'namespace',
  partition: 'task',
  stream: 'task',
  source: 'stream',
  sink: 'stream',
  address: 'namespace',
  variable: 'namespace'
};

const ALIASES: Readonly<Record<string, Table>> = { ns: 'namespace' };
const SEGMENT = /^[A-Za-z0-9_.-]+$/;
const MAX_LENGTH = 512;

/** Text that is no key; `code` is the one the broker would answer with. */
export class InvalidKey extends Error {
  constructor(
    message: string,
    readonly code: 'invalid_key' | 'unknown_table' = 'invalid_key'
  ) {
    super(message);
    this.name = 'InvalidKey';
  }
}

/** A place in the configuration tree. Immutable; compare with `String(key)`. */
export class Key {
  private constructor(
    readonly table: Table,
    readonly segments: readonly string[]
  ) {}

  /**
   * The key that `text` names, `/ns/x` read as `/namespace/x`.
   *
   * @throws InvalidKey with one sentence that says what would be right.
   */
  static parse(text: string): Key {
    if (text.length > MAX_LENGTH) {
      throw new InvalidKey(
        `A key has at most ${MAX_LENGTH} characters, this one has ${text.length}.`
      );
    }
    if (!text.startsWith('/')) {
      throw new InvalidKey(
        `A key begins with "/", such as /task/ns/name; got "${text}".`
      );
    }
    const [head = '', ...segments] = text.slice(1).split('/');
    return Key.of(tableOf(head), segments);
  }

  /** The key of `table` with these segments. @throws InvalidKey */
  static of(table: Table, segments: readonly string[]): Key {
    const names = SEGMENTS[table];
    if (segments.length !== names.length) {
      throw new InvalidKey(
        `A ${table} key is ${shape(table)}, with ${names.length} segments after /${table}; got ${segments.length}.`
      );
    }
    segments.forEach(checkSegment);
    const key = new Key(table, [...segments]);
    if (String(key).length > MAX_LENGTH) {
      throw new InvalidKey(`A key has at most ${MAX_LENGTH} characters.`);
    }
    return key;
  }

  get name(): string {
    return this.segments[this.segments.length - 1] ?? '';
  }

  get ns(): string {
    return this.segments[0] ?? '';
  }

  /** The key that this one hangs below, null for a namespace. */
  get parent(): Key | null {
    const table = PARENTS[this.table];
    return table
      ? new Key(table, this.segments.slice(0, SEGMENTS[table].length))
      : null;
  }

  toString(): string {
    return `/${this.table}/${this.segments.join('/')}`;
  }
}

/** The form of a table's keys, such as `/task/:ns/:task`. */
export function shape(table: Table): string {
  return `/${table}/${SEGMENTS[table].map(name => `:${name}`).join('/')}`;
}

function tableOf(name: string): Table {
  const table = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
  if (table !== undefined && Object.hasOwn(SEGMENTS, table)) {
    return table as Table;
  }
  throw new InvalidKey(
    `"${name}" is no table; the tables are ${Object.keys(SEGMENTS).join(', ')}.`,
    'unknown_table'
  );
}

function checkSegment(segment: string): void {
  if (!SEGMENT.test(segment) || segment === '.' || segment === '..') {
    throw new InvalidKey(
      `"${segment}" is no segment of a key: letters, digits, "_", "." and "-" are allowed, "." and ".." alone are not.`
    );
  }
}
