import { fireEvent } from '@testing-library/react';
import * as React from 'react';
import { beforeEach, describe, expect, it } from 'vitest';
import { BrokerChooser } from '../brokers';
import type { IBroker } from '../tokens';
import { Double } from './double';
import { find, mount, texts } from './drive';

function broker(name: string, alive = true): IBroker {
  const [url, id, started, version] = ['http://x', name, '', '0.1.0'];
  return { name, alive, url, pid: 7, id, started, version };
}

describe('BrokerChooser', () => {
  let model: Double;
  let done: string[];

  beforeEach(() => {
    model = new Double();
    model.brokers = [broker('default'), broker('other', false)];
    done = [];
  });

  async function draw(): Promise<HTMLElement> {
    const say = (what: string) => (name?: string) =>
      void done.push([what, name].filter(Boolean).join(' '));
    const element = (
      <BrokerChooser
        model={model}
        start={say('start')}
        stop={say('stop')}
        create={() => say('create')()}
      />
    );
    return (await mount(element)).container;
  }

  const dot = (host: HTMLElement): string | null =>
    find(host, '.tl-Status-dot').getAttribute('aria-label');

  it('lists brokers and chooses one', async () => {
    const host = await draw();
    expect(texts(host, 'option')).toEqual(['default', 'other']);
    fireEvent.change(find(host, 'select'), { target: { value: 'other' } });
    expect(model.log).toEqual(['choose other']);
  });

  it('tells how it is connected', async () => {
    expect(dot(await draw())).toBe('Live, version 0.1.0, pid 7');
    model.live = false;
    expect(dot(await draw())).toContain('Polling');
    model.phase = 'loading';
    expect(dot(await draw())).toBe('Connecting…');
  });

  it('stops one that lives, starts one that does not', async () => {
    fireEvent.click(find(await draw(), '[aria-label="Stop broker default…"]'));
    model.broker = 'other';
    const host = await draw();
    fireEvent.click(find(host, '[aria-label="Start broker other"]'));
    fireEvent.click(find(host, '[aria-label="Start another broker…"]'));
    expect(done).toEqual(['stop default', 'start other', 'create']);
  });

  it('says why the broker does not answer', async () => {
    Object.assign(model, { phase: 'offline', error: 'It is gone.' });
    const host = await draw();
    expect(find(host, '[role="alert"]').textContent).toBe('It is gone.');
    expect(dot(host)).toContain('does not answer');
  });

  it('keeps a broker that is no longer listed in the list', async () => {
    model.broker = 'gone';
    expect(texts(await draw(), 'option')).toEqual(['gone', 'default', 'other']);
  });

  it('offers to start one where there is none', async () => {
    Object.assign(model, { brokers: [], broker: null, phase: 'idle' });
    const host = await draw();
    expect(texts(host, 'option')).toEqual(['No broker']);
    fireEvent.click(find(host, '.tl-Notice button'));
    expect(done).toEqual(['start default']);
    expect(dot(host)).toBe('No broker is chosen');
  });

  it('is busy while one starts or stops', async () => {
    model.busy = 'other';
    expect((await draw()).textContent).toContain('Starting other…');
    model.busy = 'default';
    const host = await draw();
    expect(host.textContent).toContain('Stopping default…');
    expect(host.querySelectorAll('button:disabled')).toHaveLength(2);
  });
});
