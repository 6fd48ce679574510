import { act, fireEvent } from '@testing-library/react';
import * as React from 'react';
import { beforeEach, describe, expect, it } from 'vitest';
import { buildTree } from '../hierarchy';
import { ConfigTree, revealed } from '../tree';
import { Double, entry, stream } from './double';
import { find, mount, settle, texts } from './drive';

const KEYS = ['/namespace/a', '/task/a/t', '/stream/a/t/s', '/address/a/db'];

describe('ConfigTree', () => {
  let model: Double;
  let host: HTMLElement;

  function Owner(): JSX.Element {
    const [open, setOpen] = React.useState<ReadonlySet<string>>(
      new Set(['/namespace/a'])
    );
    const [, redraw] = React.useReducer((count: number) => count + 1, 0);
    React.useEffect(() => {
      model.changed.connect(redraw);
    }, []);
    return (
      <ConfigTree
        model={model}
        nodes={buildTree(model.entries.keys())}
        open={open}
        onOpen={setOpen}
        most={5}
      />
    );
  }

  beforeEach(async () => {
    model = new Double().with(...KEYS.map(key => entry(key)));
    model.streams.set('/stream/a/t/s', stream('/stream/a/t/s'));
    host = (await mount(<Owner />)).container;
  });

  const line = (id: string): HTMLElement => find(host, `[data-id="${id}"]`);
  const labels = (): string[] => texts(host, '.tl-TreeItem-label');

  async function click(id: string): Promise<void> {
    fireEvent.click(line(id));
    await settle();
  }

  async function search(text: string): Promise<void> {
    const box = find(host, '.jp-FilterBox') as HTMLInputElement;
    box.value = text;
    fireEvent.input(box);
    await settle();
  }

  it('is a tree to a screen reader', () => {
    expect(find(host, '[role="tree"]').getAttribute('aria-label')).toBe(
      'Configuration'
    );
    expect(line('/namespace/a').getAttribute('role')).toBe('treeitem');
    expect(line('/namespace/a').getAttribute('aria-expanded')).toBe('true');
    expect(line('/namespace/a#task').getAttribute('aria-expanded')).toBe(
      'false'
    );
  });

  it('draws open branches only', async () => {
    expect(labels()).toEqual(['a', 'Tasks', 'Addresses']);
    await click('/namespace/a#task');
    expect(labels()).toEqual(['a', 'Tasks', 't', 'Addresses']);
  });

  it('selects a node on a click and keeps it on a second one', async () => {
    await click('/namespace/a');
    await click('/namespace/a');
    expect(model.selected).toBe('/namespace/a');
    expect(line('/namespace/a').getAttribute('aria-selected')).toBe('true');
  });

  it('selects by keyboard', async () => {
    fireEvent.keyDown(line('/namespace/a'), { key: 'Enter' });
    await settle();
    expect(model.selected).toBe('/namespace/a');
  });

  it('opens and closes by keyboard', async () => {
    fireEvent.keyDown(line('/namespace/a#task'), { key: 'ArrowRight' });
    await settle();
    expect(labels()).toContain('t');
    fireEvent.keyDown(line('/namespace/a#task'), { key: 'ArrowLeft' });
    await settle();
    expect(labels()).not.toContain('t');
  });

  it('never selects a folder', async () => {
    await click('/namespace/a#address');
    expect(model.selected).toBeNull();
    expect(line('/namespace/a#address').getAttribute('aria-selected')).not.toBe(
      'true'
    );
  });

  it('selects what a context menu is opened on', async () => {
    fireEvent.contextMenu(find(line('/namespace/a'), '.tl-TreeItem-label'));
    await settle();
    expect(model.selected).toBe('/namespace/a');
  });

  it('opens what a search leaves', async () => {
    await search('s');
    expect(labels()).toEqual(['a', 'Tasks', 't', 's']);
    await search('nothing like it');
    expect(host.textContent).toContain('Nothing matches');
  });

  it('marks a stream with its status', async () => {
    await search('/stream/');
    const mark = find(line('/stream/a/t/s'), '.tl-Status-dot');
    expect(mark.getAttribute('aria-label')).toBe('Running');
  });

  it('says what to do when there is nothing', async () => {
    model.entries.clear();
    act(() => model.changed.emit('config'));
    await settle();
    expect(host.textContent).toContain('No configuration yet');
  });

  it('draws the beginning of a very long branch', async () => {
    for (let at = 0; at < 205; at += 1) {
      model.with(entry(`/variable/a/v${at}`));
    }
    act(() => model.changed.emit('config'));
    await click('/namespace/a#variable');
    expect(host.querySelectorAll('[data-table="variable"]')).toHaveLength(5);
    expect(host.textContent).toContain('200 more');
  });
});

it('opens all above a key', () => {
  const open = new Set(['/namespace/a']);
  expect(revealed(open, '/task/a/t')).toEqual(
    new Set(['/namespace/a', '/namespace/a#task'])
  );
  expect(revealed(open, null)).toBe(open);
  expect(revealed(open, '/namespace/a')).toBe(open);
});
