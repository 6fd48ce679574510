import { expect, it } from 'vitest';
import { ago, count, look, rate, running, summary } from '../status';
import { stream } from './double';

it('has a mood and a word for every status', () => {
  expect(look('RUNNING')).toEqual({ mood: 'good', text: 'Running' });
  expect(look('FAILURE').mood).toBe('bad');
  expect(look('ODD')).toEqual({ mood: 'ready', text: 'ODD' });
  expect(look('constructor').text).toBe('constructor');
  expect(look('').text).toBe('Unknown');
});

it('says what runs', () => {
  expect(running(stream('/stream/a/t/s'))).toBe(true);
  expect(running(stream('/stream/a/t/s', { status: 'STOPPED' }))).toBe(false);
});

it('writes numbers short', () => {
  expect(count(undefined)).toBe('0');
  expect(count(12_345)).toBe('12,345');
  expect(count(1_234_567)).toBe('1.2M');
  expect(rate(null)).toBe('0/s');
  expect(rate(0.44)).toBe('0.4/s');
  expect(rate(12.4)).toBe('12/s');
  expect(rate(3400)).toBe('3.4K/s');
});

it('tells how long ago', () => {
  const now = 1_000_000_000;
  expect(ago(null, now)).toBe('');
  expect(ago(now / 1000 - 8, now)).toBe('8 s');
  expect(ago(now / 1000 - 200, now)).toBe('3 min');
  expect(ago(now / 1000 - 7300, now)).toBe('2 h');
  expect(ago(now / 1000 - 200_000, now)).toBe('2 d');
  expect(ago(now / 1000 + 5, now)).toBe('0 s');
});

it('sums streams up, the commonest first', () => {
  const key = '/stream/a/t/s';
  const streams = [
    stream(key, { status: 'FAILURE' }),
    stream(key),
    stream(key)
  ];
  expect(summary(streams)).toBe('2 running, 1 failed');
});
