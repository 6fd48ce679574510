import { describe, expect, it } from 'vitest';
import {
  ancestors,
  buildTree,
  filterTree,
  size,
  type ITreeNode
} from '../hierarchy';

const KEYS = [
  '/namespace/a',
  '/task/a/t',
  '/partition/a/t/p0',
  '/stream/a/t/s10',
  '/stream/a/t/s2',
  '/source/a/t/s2/in',
  '/sink/a/t/s2/out',
  '/instance/a/i',
  '/address/a/db',
  '/stream/b/lone/s'
];

/** Each line as `label` or `label (implied)`, indented. */
function drawn(nodes: readonly ITreeNode[], depth = 0): string[] {
  return nodes.flatMap(node => [
    `${'  '.repeat(depth)}${node.label}${node.saved ? '' : ' (implied)'}`,
    ...drawn(node.children, depth + 1)
  ]);
}

describe('buildTree', () => {
  it('hangs keys below each other, in the order of a person', () => {
    expect(drawn(buildTree(KEYS))).toEqual([
      'a',
      '  Tasks',
      '    t',
      '      p0',
      '      s2',
      '        in',
      '        out',
      '      s10',
      '  Instances',
      '    i',
      '  Addresses',
      '    db',
      'b (implied)',
      '  Tasks',
      '    lone (implied)',
      '      s'
    ]);
  });

  it('leaves out what is no key', () => {
    expect(buildTree(['/nothing/x', 'x', '/ns/a/b'])).toEqual([]);
  });
});

describe('filterTree', () => {
  const tree = buildTree(KEYS);

  it('keeps what matches with all above and below it', () => {
    expect(drawn(filterTree(tree, 'S2'))).toEqual([
      'a',
      '  Tasks',
      '    t',
      '      s2',
      '        in',
      '        out'
    ]);
  });

  it('searches whole keys where a slash is given', () => {
    expect(drawn(filterTree(tree, '/sink/a'))).toEqual([
      'a',
      '  Tasks',
      '    t',
      '      s2',
      '        out'
    ]);
  });

  it('does not match the names of folders', () => {
    expect(filterTree(tree, 'Instances')).toEqual([]);
  });

  it('leaves all for an empty search', () => {
    expect(filterTree(tree, '  ')).toEqual(tree);
  });
});

it('lists what must be open for a key to be seen', () => {
  expect(ancestors('/source/a/t/s/in')).toEqual([
    '/namespace/a',
    '/namespace/a#task',
    '/task/a/t',
    '/stream/a/t/s'
  ]);
  expect(ancestors('/namespace/a')).toEqual([]);
  expect(ancestors('no key')).toEqual([]);
});

it('counts lines', () => {
  expect(size(buildTree(KEYS))).toBe(16);
});
