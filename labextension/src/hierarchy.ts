/**
 * From a flat list of keys to the tree that is drawn, and the part of it that a search leaves. Pure.
 *
 * Nodes that only exist because others hang below them (a task without its own entry) are there with `saved: false`.
 */

import { InvalidKey, Key, type Table } from './key';

/** One line of the tree; folders gather a namespace's children of one table. */
export interface ITreeNode {
  readonly id: string;
  readonly label: string;
  readonly kind: Table | 'folder';
  /** For a folder, the table that it gathers. */
  readonly table: Table;
  /** Null for a folder. */
  readonly key: string | null;
  readonly saved: boolean;
  readonly children: readonly ITreeNode[];
}

interface IDraftNode extends ITreeNode {
  saved: boolean;
  children: IDraftNode[];
}

const FOLDERS: Readonly<Partial<Record<Table, string>>> = {
  task: 'Tasks',
  group: 'Groups',
  instance: 'Instances',
  broker: 'Brokers',
  address: 'Addresses',
  variable: 'Variables'
};

/** The order in which kinds are listed below one parent. */
const ORDER: readonly Table[] = [
  'namespace',
  'task',
  'group',
  'instance',
  'broker',
  'address',
  'variable',
  'partition',
  'stream',
  'source',
  'sink'
];

/** Names with numbers in the order a person counts them: `s2` before `s10`. */
const byName = new Intl.Collator('en', { numeric: true }).compare;

class Builder {
  /** The node of a key, made together with all that it hangs below. */
  node(key: Key): IDraftNode {
    const id = String(key);
    const known = this._nodes.get(id);
    if (known) {
      return known;
    }
    const node: IDraftNode = {
      id,
      label: key.name,
      kind: key.table,
      table: key.table,
      key: id,
      saved: false,
      children: []
    };
    this._nodes.set(id, node);
    this.home(key).push(node);
    return node;
  }

  roots(): ITreeNode[] {
    this._nodes.forEach(node => node.children.sort(compare));
    this._folders.forEach(node => node.children.sort(compare));
    return this._roots.sort(compare);
  }

  /** The list of children that a key belongs in. */
  private home(key: Key): IDraftNode[] {
    const parent = key.parent;
    if (!parent) {
      return this._roots;
    }
    const above = this.node(parent);
    const label = FOLDERS[key.table];
    return label ? this.folder(above, key.table, label) : above.children;
  }

  private folder(above: IDraftNode, table: Table, label: string): IDraftNode[] {
    const id = `${above.id}#${table}`;
    let folder = this._folders.get(id);
    if (!folder) {
      folder = {
        id,
        label,
        kind: 'folder',
        table,
        key: null,
        saved: true,
        children: []
      };
      this._folders.set(id, folder);
      above.children.push(folder);
    }
    return folder.children;
  }

  private readonly _nodes = new Map<string, IDraftNode>();
  private readonly _folders = new Map<string, IDraftNode>();
  private readonly _roots: IDraftNode[] = [];
}

function compare(a: ITreeNode, b: ITreeNode): number {
  return (
    ORDER.indexOf(a.table) - ORDER.indexOf(b.table) || byName(a.label, b.label)
  );
}

/** The tree of these keys; text that is no key is left out. */
export function buildTree(keys: Iterable<string>): ITreeNode[] {
  const builder = new Builder();
  for (const text of keys) {
    const key = parsed(text);
    if (key) {
      builder.node(key).saved = true;
    }
  }
  return builder.roots();
}

/** The nodes whose key holds `query` (any case), with all above and below them. */
export function filterTree(
  nodes: readonly ITreeNode[],
  query: string
): ITreeNode[] {
  const wanted = query.trim().toLowerCase();
  if (!wanted) {
    return [...nodes];
  }
  return nodes.flatMap(node => {
    if (matches(node, wanted)) {
      return [node];
    }
    const children = filterTree(node.children, wanted);
    return children.length ? [{ ...node, children }] : [];
  });
}

/** Ids of all that stands above a key, outermost first: what must be open for it to be seen. */
export function ancestors(key: string): string[] {
  const ids: string[] = [];
  for (let at = parsed(key); at; at = at.parent) {
    const parent = at.parent;
    if (parent) {
      if (FOLDERS[at.table]) {
        ids.unshift(`${String(parent)}#${at.table}`);
      }
      ids.unshift(String(parent));
    }
  }
  return ids;
}

/** How many lines a tree has, opened or not. */
export function size(nodes: readonly ITreeNode[]): number {
  return nodes.reduce((sum, node) => sum + 1 + size(node.children), 0);
}

function matches(node: ITreeNode, wanted: string): boolean {
  const text = wanted.includes('/') ? node.key : node.key && node.label;
  return text !== null && text.toLowerCase().includes(wanted);
}

function parsed(text: string): Key | null {
  try {
    return Key.parse(text);
  } catch (error) {
    if (error instanceof InvalidKey) {
      return null;
    }
    throw error;
  }
}
