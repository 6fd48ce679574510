import { beforeEach, describe, expect, it } from 'vitest';
import { Editor } from '../editor';
import { Double, entry } from './double';

const KEY = '/stream/a/t/s';

describe('Editor', () => {
  let model: Double;
  let editor: Editor;

  beforeEach(() => {
    model = new Double().with(entry(KEY, { cron: '1' }));
    editor = new Editor(model);
  });

  it('begins with what is stored', () => {
    expect(editor.draft(KEY).value).toEqual({ cron: '1' });
    expect(editor.dirty(KEY)).toBe(false);
  });

  it('keeps a draft until it is saved', async () => {
    editor.edit(KEY, { cron: '2' });
    expect(editor.dirty(KEY)).toBe(true);
    expect(await editor.save(KEY)).toBe(true);
    expect(model.log).toEqual([`save ${KEY} e1`]);
    expect(editor.dirty(KEY)).toBe(false);
    expect(editor.draft(KEY)).toMatchObject({
      busy: false,
      notice: { tone: 'success' }
    });
  });

  it('is not dirty once the old value is back', () => {
    editor.edit(KEY, { cron: '2' });
    editor.edit(KEY, { cron: '1' });
    expect(editor.dirty(KEY)).toBe(false);
  });

  it('shows the broker’s problems and keeps the draft', async () => {
    model.problems = [{ path: 'cron', message: 'Five fields.' }];
    editor.edit(KEY, { cron: 'x' });
    expect(await editor.save(KEY)).toBe(false);
    expect(editor.draft(KEY)).toMatchObject({
      value: { cron: 'x' },
      problems: model.problems,
      notice: { tone: 'error' },
      busy: false
    });
  });

  it('notices a change made elsewhere, and can go over it', async () => {
    editor.edit(KEY, { cron: '2' });
    model.with(entry(KEY, { cron: '3' }, 'e2'));
    expect(editor.outdated(KEY)).toBe(true);
    await editor.save(KEY, true);
    expect(model.log).toEqual([`save ${KEY} null`]);
    expect(editor.outdated(KEY)).toBe(false);
  });

  it('follows a change made elsewhere while nothing is edited', async () => {
    await editor.apply(KEY);
    model.with(entry(KEY, { cron: '3' }, 'e2'));
    expect(editor.draft(KEY).value).toEqual({ cron: '3' });
    expect(editor.outdated(KEY)).toBe(false);
  });

  it('reverts', () => {
    editor.edit(KEY, { cron: '2' });
    editor.revert(KEY);
    expect(editor.draft(KEY).value).toEqual({ cron: '1' });
  });

  it('tells where a node was applied', async () => {
    await editor.apply(KEY);
    expect(editor.draft(KEY).notice?.text).toContain('/instance/a/i');
    model.applied = { key: KEY, notified: [], problems: [] };
    await editor.apply(KEY);
    expect(editor.draft(KEY).notice?.tone).toBe('info');
    const problems = [{ path: 'cron', message: 'No.' }];
    model.applied = { key: KEY, notified: [], problems };
    await editor.apply(KEY);
    expect(editor.draft(KEY)).toMatchObject({
      problems,
      notice: { tone: 'error' }
    });
  });

  it('treats a node that is not stored as a new one', async () => {
    const key = '/task/a/new';
    expect(editor.dirty(key)).toBe(true);
    await editor.save(key);
    expect(model.log).toEqual([`save ${key} null`]);
  });

  it('forgets a removed node, and all drafts with another broker', async () => {
    editor.edit(KEY, { cron: '2' });
    expect(await editor.remove(KEY)).toBe(true);
    expect(editor.draft(KEY).value).toEqual({});
    editor.edit(KEY, { cron: '9' });
    model.choose('other');
    expect(editor.draft(KEY).value).toEqual({});
  });
});
