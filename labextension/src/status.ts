/** What a status (of a stream or an instance), a rate and a counter read like. Pure text; the style sheet has the colours. */

import type { IStream } from './tokens';

/** How a status is meant; the style sheet gives each a colour, the table a word. */
export type Mood = 'good' | 'bad' | 'done' | 'ready' | 'quiet';

interface ILook {
  readonly mood: Mood;
  readonly text: string;
}

const LOOKS: Readonly<Record<string, ILook>> = {
  RUNNING: { mood: 'good', text: 'Running' },
  FAILURE: { mood: 'bad', text: 'Failed' },
  COMPLETE: { mood: 'done', text: 'Complete' },
  CRON_COMPLETE: { mood: 'done', text: 'Waiting for its next run' },
  NORMAL: { mood: 'ready', text: 'Waiting' },
  STOPPED: { mood: 'quiet', text: 'Stopped' },
  REMOVE: { mood: 'quiet', text: 'Removed' },
  ONLINE: { mood: 'good', text: 'Online' },
  OFFLINE: { mood: 'bad', text: 'Offline' }
};

export function look(status: string): ILook {
  const known = Object.hasOwn(LOOKS, status) ? LOOKS[status] : undefined;
  return known ?? { mood: 'ready', text: status || 'Unknown' };
}

/** Whether it is running now, so that "stop" makes sense and "start" does not. */
export function running(stream: IStream): boolean {
  return stream.status === 'RUNNING';
}

/** `1,234`; from 100,000 on `123k`, `1.2M`. */
export function count(value: number | undefined): string {
  const number = value ?? 0;
  return number < 100_000
    ? number.toLocaleString('en')
    : new Intl.NumberFormat('en', {
        notation: 'compact',
        maximumFractionDigits: 1
      }).format(number);
}

/** Records a second: `0/s`, `0.4/s`, `12/s`, `3.4K/s`. */
export function rate(value: number | null | undefined): string {
  const number = value ?? 0;
  const text = new Intl.NumberFormat('en', {
    notation: 'compact',
    maximumFractionDigits: number < 10 ? 1 : number < 1000 ? 0 : 1
  }).format(number);
  return `${text}/s`;
}

/** How long ago: `8 s`, `3 min`, `2 h`, `5 d`. */
export function ago(
  since: number | null | undefined,
  now = Date.now()
): string {
  if (!since) {
    return '';
  }
  const seconds = Math.max(0, Math.round(now / 1000 - since));
  const units: [number, string][] = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min']
  ];
  const [size, name] = units.find(([size]) => seconds >= size) ?? [1, 's'];
  return `${Math.floor(seconds / size)} ${name}`;
}

/** `2 running, 1 failed` for a line above the table; the commonest first. */
export function summary(streams: Iterable<IStream>): string {
  const tally = new Map<string, number>();
  for (const { status } of streams) {
    const { text } = look(status);
    tally.set(text, (tally.get(text) ?? 0) + 1);
  }
  return [...tally]
    .sort((a, b) => b[1] - a[1])
    .map(([text, number]) => `${number} ${text.toLowerCase()}`)
    .join(', ');
}
