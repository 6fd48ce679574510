/** The JSON Schema validator, two thirds of the panel's size: imported only when the first form is shown. */

import type { ReadonlyJSONObject } from '@lumino/coreutils';
import { customizeValidator } from '@rjsf/validator-ajv8';

export default customizeValidator<ReadonlyJSONObject>();
