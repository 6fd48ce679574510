import { act, fireEvent } from '@testing-library/react';
import * as React from 'react';
import { beforeEach, describe, expect, it } from 'vitest';
import { Editor } from '../editor';
import { NodeForm } from '../form';
import { Double, entry } from './double';
import { find, mount, settle, texts } from './drive';

const KEY = '/stream/a/t/s';

describe('NodeForm', () => {
  let model: Double;
  let editor: Editor;
  let removed: string[];
  let host: HTMLElement;

  function Owner(): JSX.Element {
    const [, redraw] = React.useReducer((count: number) => count + 1, 0);
    React.useEffect(() => {
      model.changed.connect(redraw);
      editor.changed.connect(redraw);
    }, []);
    const remove = (key: string): void => void removed.push(key);
    return <NodeForm model={model} editor={editor} remove={remove} />;
  }

  beforeEach(async () => {
    model = new Double().with(entry(KEY, { cron: '1 * * * *' }));
    editor = new Editor(model);
    removed = [];
    host = (await mount(<Owner />)).container;
  });

  async function select(key: string | null): Promise<void> {
    act(() => model.select(key));
    await settle();
    await settle();
  }

  function button(text: string): HTMLButtonElement {
    const found = [...host.querySelectorAll('button')].find(
      ({ textContent, title }) => textContent === text || title.includes(text)
    );
    return found as HTMLButtonElement;
  }

  const cron = (): HTMLInputElement =>
    find(host, '#tl_cron') as HTMLInputElement;

  async function type(text: string): Promise<void> {
    fireEvent.change(cron(), { target: { value: text } });
    await settle();
  }

  it('waits for a selection', () => {
    expect(host.textContent).toContain('Select a node');
  });

  it('draws the fields of the schema, filled', async () => {
    await select(KEY);
    expect(
      texts(host, '.form-group .form-group .jp-FormGroup-fieldLabel')
    ).toEqual(['Status', 'Cron', 'Template']);
    expect(cron().value).toBe('1 * * * *');
    expect(cron().getAttribute('aria-label')).toBe('Cron');
    expect(find(host, '#tl_template').tagName).toBe('TEXTAREA');
    expect(host.querySelector('#tl_id')).toBeNull();
  });

  it('has nothing to save before anything is typed', async () => {
    await select(KEY);
    expect(button('Save').disabled).toBe(true);
    expect(button('Refresh').disabled).toBe(false);
  });

  it('saves what is typed and only that', async () => {
    await select(KEY);
    await type('2 * * * *');
    expect(button('Refresh').disabled).toBe(true);
    fireEvent.click(button('Save'));
    await settle();
    expect(model.log).toContain(`save ${KEY} e1`);
    expect(model.entries.get(KEY)?.value).toEqual({ cron: '2 * * * *' });
    expect(host.textContent).toContain('Saved.');
  });

  it('shows each problem at its field and the rest above', async () => {
    await select(KEY);
    model.problems = [
      { path: 'cron', message: 'Five fields are needed.' },
      { path: 'odd', message: 'No such field.' }
    ];
    await type('x');
    fireEvent.click(button('Save'));
    await settle();
    const field = cron().closest('.form-group') as HTMLElement;
    expect(field.textContent).toContain('Five fields are needed.');
    expect(find(host, '.tl-Form-problems').textContent).toBe(
      'odd No such field.'
    );
    expect(find(host, '[role="alert"]').textContent).toContain('not valid');
    expect(cron().value).toBe('x');
  });

  it('discards, applies and deletes', async () => {
    await select(KEY);
    await type('x');
    fireEvent.click(button('Discard'));
    await settle();
    expect(cron().value).toBe('1 * * * *');
    fireEvent.click(button('Refresh'));
    await settle();
    expect(host.textContent).toContain('Applied on /instance/a/i');
    fireEvent.click(button('Delete'));
    expect(removed).toEqual([KEY]);
  });

  it('keeps a draft while another node is looked at', async () => {
    model.with(entry('/stream/a/t/other', {}));
    await select(KEY);
    await type('x');
    await select('/stream/a/t/other');
    expect(cron().value).toBe('');
    await select(KEY);
    expect(cron().value).toBe('x');
  });

  it('offers both sides of a conflict', async () => {
    await select(KEY);
    await type('mine');
    model.with(entry(KEY, { cron: 'theirs' }, 'e2'));
    act(() => model.changed.emit('config'));
    await settle();
    expect(host.textContent).toContain('Changed elsewhere');
    fireEvent.click(button('Take theirs'));
    await settle();
    expect(cron().value).toBe('theirs');
  });

  it('creates a node that is not there', async () => {
    await select('/stream/a/t/new');
    expect(host.textContent).toContain('Not saved yet');
    fireEvent.click(button('Create'));
    await settle();
    expect(model.log).toContain('save /stream/a/t/new null');
  });

  it('keeps a category that the broker does not know', async () => {
    model.known = ['kafka'];
    model.with(entry('/source/a/t/s/in', { category: 'own' }));
    await select('/source/a/t/s/in');
    expect(model.log).toContain('schema /source/a/t/s/in ');
    await select(null);
    model.with(entry('/source/a/t/s/in', { category: 'kafka' }, 'e2'));
    await select('/source/a/t/s/in');
    expect(model.log).toContain('schema /source/a/t/s/in kafka');
  });

  it('says why there is no form', async () => {
    model.schema = () => Promise.reject(new Error('No schema.'));
    await select(KEY);
    expect(find(host, '[role="alert"]').textContent).toBe('No schema.');
  });
});
