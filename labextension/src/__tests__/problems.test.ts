import { expect, it } from 'vitest';
import { fieldErrors, stepsOf } from '../problems';

it('puts each problem at its field and keeps the rest', () => {
  const { errors, rest } = fieldErrors(
    [
      { path: 'client.topics[0]', message: 'Too long.' },
      { path: 'client', message: 'Missing.' },
      { path: '', message: 'All wrong.' },
      { path: 'id', message: 'Hidden.' }
    ],
    field => field === 'client'
  );
  expect(errors).toEqual({
    client: {
      __errors: ['Missing.'],
      topics: { 0: { __errors: ['Too long.'] } }
    }
  });
  expect(rest.map(({ message }) => message)).toEqual(['All wrong.', 'Hidden.']);
});

it('reads both ways of writing a path', () => {
  expect(stepsOf('a.b[0].c')).toEqual(['a', 'b', '0', 'c']);
  expect(stepsOf('a.b.0.c')).toEqual(['a', 'b', '0', 'c']);
});
