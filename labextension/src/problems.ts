/** From the broker's problems, which name a path, to the errors of a form's fields. Pure. */

import type { ErrorSchema } from '@rjsf/utils';
import type { IProblem } from './tokens';

/** Problems by field; those of a path that `shows` refuses are in `rest`. */
export function fieldErrors(
  problems: readonly IProblem[],
  shows: (field: string) => boolean
): { errors: ErrorSchema; rest: IProblem[] } {
  const errors: ErrorSchema = {};
  const rest: IProblem[] = [];
  for (const problem of problems) {
    const steps = stepsOf(problem.path);
    if (steps.length && shows(steps[0] ?? '')) {
      put(errors, steps, problem.message);
    } else {
      rest.push(problem);
    }
  }
  return { errors, rest };
}

/** `client.topics[0].name` and `client.topics.0.name` are the same steps. */
export function stepsOf(path: string): string[] {
  return path.split(/[.[\]]+/).filter(step => step !== '');
}

function put(errors: ErrorSchema, steps: string[], text: string): void {
  let at = errors;
  for (const step of steps) {
    at = at[step] ??= {};
  }
  (at.__errors ??= []).push(text);
}
