import { fireEvent } from '@testing-library/react';
import * as React from 'react';
import { beforeEach, describe, expect, it } from 'vitest';
import { StreamTable } from '../streams';
import { Double, stream } from './double';
import { find, mount, settle, texts } from './drive';

const RUNNING = stream('/stream/a/t/s2', {
  instance: '/instance/a/one',
  rate: 12,
  restarts: 3,
  counts: { read: 1200, written: 1199 }
});
const FAILED = stream('/stream/a/t/s10', {
  status: 'FAILURE',
  error: 'No such file.'
});

describe('StreamTable', () => {
  let model: Double;
  let commands: string[];

  beforeEach(() => {
    model = new Double();
    model.streams.set(FAILED.key, FAILED).set(RUNNING.key, RUNNING);
    commands = [];
  });

  async function draw(): Promise<HTMLElement> {
    const command = (action: string, key: string): void => {
      commands.push(`${action} ${key}`);
    };
    return (await mount(<StreamTable model={model} command={command} />))
      .container;
  }

  const row = (host: HTMLElement, key: string): HTMLElement =>
    find(host, `[data-key="${key}"]`);

  it('lists streams with status in words, counters and rate', async () => {
    const host = await draw();
    expect(texts(host, '.tl-StreamRow-name')).toEqual(['s2', 's10']);
    const cells = texts(row(host, RUNNING.key), 'td, th');
    expect(cells.slice(0, 6)).toEqual([
      'Running',
      's2a/t',
      '12/s',
      '1,200',
      '1,199',
      'one'
    ]);
    expect(texts(host, '.tl-Streams-summary')).toEqual(['1 running, 1 failed']);
    expect(
      find(host, '[data-column="Instance"][title*="3 restarts"]')
    ).toBeTruthy();
  });

  it('says why a stream failed', async () => {
    const host = await draw();
    expect(row(host, FAILED.key).textContent).toContain('No such file.');
  });

  it('is a table to a screen reader, however it is laid out', async () => {
    const host = await draw();
    expect(host.querySelectorAll('[role="row"]')).toHaveLength(3);
    expect(host.querySelectorAll('[role="columnheader"]')).toHaveLength(8);
    expect(host.querySelectorAll('[role="rowheader"]')).toHaveLength(2);
  });

  it('offers what makes sense for each', async () => {
    const host = await draw();
    for (const label of ['Stop s2', 'Restart s2', 'Start s10']) {
      fireEvent.click(find(host, `[aria-label="${label}"]`));
    }
    fireEvent.click(find(host, '[aria-label^="Refresh s10"]'));
    expect(commands).toEqual([
      'stop /stream/a/t/s2',
      'restart /stream/a/t/s2',
      'start /stream/a/t/s10',
      'refresh /stream/a/t/s10'
    ]);
    const restart = find(host, '[aria-label="Restart s10"]');
    expect((restart as HTMLButtonElement).disabled).toBe(true);
  });

  it('selects a stream by its name or its context menu', async () => {
    const host = await draw();
    fireEvent.click(find(row(host, RUNNING.key), '.tl-StreamRow-name'));
    fireEvent.contextMenu(row(host, FAILED.key));
    expect(model.log).toEqual([
      `select ${RUNNING.key}`,
      `select ${FAILED.key}`
    ]);
  });

  it('searches names and statuses', async () => {
    const host = await draw();
    const box = find(host, '.jp-FilterBox') as HTMLInputElement;
    box.value = 'fail';
    fireEvent.input(box);
    await settle();
    expect(texts(host, '.tl-StreamRow-name')).toEqual(['s10']);
  });

  it('draws thousands a page at a time', async () => {
    for (let at = 0; at < 250; at += 1) {
      const key = `/stream/a/many/s${at}`;
      model.streams.set(key, stream(key));
    }
    const host = await draw();
    expect(host.querySelectorAll('.tl-StreamRow')).toHaveLength(100);
    fireEvent.click(find(host, '.tl-Link'));
    expect(host.querySelectorAll('.tl-StreamRow')).toHaveLength(200);
  });

  it('says so when there are none', async () => {
    model.streams.clear();
    expect((await draw()).textContent).toContain('No streams yet');
  });
});
