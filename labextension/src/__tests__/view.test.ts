import { Signal } from '@lumino/signaling';
import { createElement } from 'react';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { View } from '../view';
import { attach, settle } from './drive';

describe('View', () => {
  const owner = {};
  let signal: Signal<object, string>;
  let drawn: number;
  let view: View;

  beforeEach(async () => {
    signal = new Signal<object, string>(owner);
    drawn = 0;
    view = new View(() => {
      drawn += 1;
      return createElement('i', null, String(drawn));
    });
    view.follow(signal, ['wanted']);
    await attach(view);
    drawn = 0;
  });

  afterEach(() => {
    if (!view.isDisposed) {
      view.dispose();
    }
  });

  it('draws once for many changes of one frame', async () => {
    for (let times = 0; times < 100; times += 1) {
      signal.emit('wanted');
    }
    await settle();
    expect(drawn).toBe(1);
  });

  it('does not draw for what it was not asked to follow', async () => {
    signal.emit('other');
    await settle();
    expect(drawn).toBe(0);
  });

  it('draws nothing while it is hidden, and once when it is shown', async () => {
    view.hide();
    signal.emit('wanted');
    signal.emit('wanted');
    await settle();
    expect(drawn).toBe(0);
    view.show();
    await settle();
    expect(drawn).toBe(1);
    view.hide();
    view.show();
    await settle();
    expect(drawn).toBe(1);
  });

  it('follows every change without a list', async () => {
    const all = new Signal<object, string>(owner);
    view.follow(all);
    all.emit('anything');
    await settle();
    expect(drawn).toBe(1);
  });

  it('is silent once disposed', async () => {
    signal.emit('wanted');
    view.dispose();
    await settle();
    expect(drawn).toBe(0);
  });
});
