/**
 * The form of the selected node: fields from its JSON Schema, problems at their fields, Save, Refresh and Delete.
 *
 * Owns fetching the schema and the validator. The value and what became of it are the editor's.
 */

import {
  deleteIcon,
  FormComponent,
  saveIcon,
  undoIcon
} from '@jupyterlab/ui-components';
import { JSONExt, type ReadonlyJSONObject } from '@lumino/coreutils';
import type { UiSchema, ValidatorType } from '@rjsf/utils';
import type { JSONSchema7 } from 'json-schema';
import * as React from 'react';
import { Empty, IconButton, Notice } from './controls';
import type { Editor, IDraft } from './editor';
import { formSchema, pruned, uiSchema } from './formschema';
import { applyIcon, iconOf } from './icons';
import { Key } from './key';
import { fieldErrors } from './problems';
import { messageOf } from './request';
import type { IProblem, ITeleporter } from './tokens';

export interface IFormProps {
  readonly model: ITeleporter;
  readonly editor: Editor;
  /** Ask whether to delete, then do it. */
  readonly remove: (key: string) => void;
}

export function NodeForm(props: IFormProps): JSX.Element {
  const { model, editor } = props;
  const key = model.selected;
  if (!key) {
    return (
      <div className="tl-Form">
        <Empty>Select a node of the configuration to see its form.</Empty>
      </div>
    );
  }
  return (
    <div className="tl-Form" data-key={key}>
      <div className="tl-Form-head">
        <Title nodeKey={key} />
        <Verbs {...props} nodeKey={key} />
        <Notices {...props} nodeKey={key} />
      </div>
      <Fields
        key={`${model.broker ?? ''}${key}`}
        model={model}
        nodeKey={key}
        draft={editor.draft(key)}
        edit={value => editor.edit(key, value)}
      />
    </div>
  );
}

interface IKeyed extends IFormProps {
  readonly nodeKey: string;
}

function Title({ nodeKey }: { readonly nodeKey: string }): JSX.Element {
  const Icon = iconOf(Key.parse(nodeKey).table);
  return (
    <div className="tl-Form-title" title={nodeKey}>
      <Icon.react tag="span" width="16px" height="16px" />
      <span className="tl-Form-key">
        <bdi>{nodeKey}</bdi>
      </span>
    </div>
  );
}

function Verbs({ model, editor, remove, nodeKey }: IKeyed): JSX.Element {
  const { busy } = editor.draft(nodeKey);
  const stored = model.entries.has(nodeKey);
  const dirty = editor.dirty(nodeKey);
  return (
    <div className="tl-Form-verbs" role="toolbar" aria-label="Node">
      <button
        type="button"
        className="jp-mod-styled jp-mod-accept tl-Button"
        disabled={busy || !dirty}
        title={stored ? 'Save the changes' : 'Create this node'}
        onClick={() => void editor.save(nodeKey)}
      >
        <saveIcon.react tag="span" width="14px" height="14px" />
        {stored ? 'Save' : 'Create'}
      </button>
      <button
        type="button"
        className="jp-mod-styled tl-Button"
        disabled={busy || !stored || dirty}
        title="Apply what is saved to what is running"
        onClick={() => void editor.apply(nodeKey)}
      >
        <applyIcon.react tag="span" width="14px" height="14px" />
        Refresh
      </button>
      <IconButton
        icon={undoIcon}
        label="Discard the changes"
        disabled={busy || !stored || !dirty}
        onClick={() => editor.revert(nodeKey)}
      />
      <IconButton
        icon={deleteIcon}
        label="Delete this node…"
        disabled={busy || !stored}
        onClick={() => remove(nodeKey)}
      />
    </div>
  );
}

function Notices({ model, editor, nodeKey }: IKeyed): JSX.Element {
  const { notice } = editor.draft(nodeKey);
  const stored = model.entries.has(nodeKey);
  return (
    <>
      {notice && <Notice notice={notice} />}
      {!stored && !notice && (
        <Notice
          notice={{ tone: 'info', text: 'Not saved yet: fill in and create.' }}
        />
      )}
      {editor.outdated(nodeKey) && (
        <Notice
          notice={{ tone: 'warning', text: 'Changed elsewhere meanwhile.' }}
        >
          <button
            type="button"
            className="tl-Link"
            onClick={() => editor.revert(nodeKey)}
          >
            Take theirs
          </button>
          <button
            type="button"
            className="tl-Link"
            onClick={() => void editor.save(nodeKey, true)}
          >
            Save mine
          </button>
        </Notice>
      )}
    </>
  );
}

interface IFieldsProps {
  readonly model: ITeleporter;
  readonly nodeKey: string;
  readonly draft: IDraft;
  readonly edit: (value: ReadonlyJSONObject) => void;
}

type Validator = ValidatorType<ReadonlyJSONObject>;

/** Fields are filled as the person fills them: the library is kept from writing defaults. */
const DEFAULTS = { emptyObjectFields: 'skipDefaults' } as const;

function Fields(props: IFieldsProps): JSX.Element {
  const { model, nodeKey, draft, edit } = props;
  const kind = useKind(model, nodeKey, textOf(draft.value['category']));
  const validator = useValidator();
  const host = useLabels();
  useFirstProblem(host, draft.problems);
  const drawn = React.useMemo(
    () => kind.schema && drawing(kind.schema, kind.categories, model),
    [kind, model]
  );
  const { errors, rest } = React.useMemo(
    () => fieldErrors(draft.problems, field => shows(drawn?.schema, field)),
    [draft.problems, drawn]
  );
  if (kind.failure) {
    return <Notice notice={{ tone: 'error', text: kind.failure }} />;
  }
  if (!drawn || !validator) {
    return <Empty>Loading the form…</Empty>;
  }
  return (
    <div ref={host}>
      <Problems problems={rest} />
      <FormComponent
        schema={drawn.schema}
        uiSchema={drawn.ui}
        formData={draft.value}
        formContext={{ defaultFormData: {} }}
        validator={validator}
        extraErrors={errors}
        disabled={draft.busy}
        experimental_defaultFormStateBehavior={DEFAULTS}
        compact
        buttonStyle="icons"
        showModifiedFromDefault={false}
        showErrorList={false}
        noValidate
        noHtml5Validate
        idPrefix="tl"
        onChange={({ formData }) =>
          changed(props, drawn.schema, formData, edit)
        }
      />
    </div>
  );
}

/** The library tells of a change also when it only filled in what is empty. */
function changed(
  { model, nodeKey, draft }: IFieldsProps,
  schema: JSONSchema7,
  value: ReadonlyJSONObject | undefined,
  edit: IFieldsProps['edit']
): void {
  const stored = model.entries.get(nodeKey)?.value ?? {};
  const next = pruned(value ?? {}, stored, schema.required);
  if (!JSONExt.deepEqual(next, draft.value)) {
    edit(next);
  }
}

function drawing(
  schema: JSONSchema7,
  categories: readonly string[],
  model: ITeleporter
): { schema: JSONSchema7; ui: UiSchema<ReadonlyJSONObject> } {
  const keys = (tables: readonly string[]): string[] =>
    [...model.entries.keys()].filter(key =>
      tables.includes(key.split('/')[1] ?? '')
    );
  return {
    schema: formSchema(schema, { keys, categories }),
    ui: uiSchema(schema)
  };
}

function shows(schema: JSONSchema7 | undefined, field: string): boolean {
  return Object.hasOwn(schema?.properties ?? {}, field);
}

/** Problems that no field shows. */
function Problems(props: {
  readonly problems: readonly IProblem[];
}): JSX.Element | null {
  return props.problems.length ? (
    <ul className="tl-Form-problems">
      {props.problems.map(({ path, message }) => (
        <li key={`${path} ${message}`}>
          {path && <code>{path}</code>} {message}
        </li>
      ))}
    </ul>
  ) : null;
}

/** JupyterLab's compact form draws titles but ties them to no field; a screen reader needs the tie. */
function useLabels(): React.RefObject<HTMLDivElement> {
  const host = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    const fields = 'input[id], select[id], textarea[id]';
    for (const field of host.current?.querySelectorAll(fields) ?? []) {
      const title = field
        .closest('.jp-FormGroup-content')
        ?.querySelector('.jp-FormGroup-fieldLabel')?.textContent;
      if (title && field.getAttribute('aria-label') !== title) {
        field.setAttribute('aria-label', title);
      }
    }
  });
  return host;
}

/** The first problem comes into sight when problems arrive, as the form is longer than its section. */
function useFirstProblem(
  host: React.RefObject<HTMLElement>,
  problems: readonly IProblem[]
): void {
  React.useEffect(() => {
    if (!problems.length) {
      return;
    }
    // The form library draws errors that it is handed one step later.
    const frame = requestAnimationFrame(() => {
      host.current
        ?.querySelector('.tl-Form-problems, .validationErrors li')
        ?.closest('.tl-Form-problems, .form-group')
        ?.scrollIntoView();
    });
    return () => cancelAnimationFrame(frame);
  }, [host, problems]);
}

/** What a form needs to know of the kind of its node. */
interface IKind {
  readonly schema: JSONSchema7 | null;
  readonly categories: readonly string[];
  readonly failure: string;
}

/** While the schema of another category is loaded the one before stays, so that the form does not blink. */
function useKind(model: ITeleporter, key: string, category: string): IKind {
  const [kind, setKind] = React.useState<IKind>({
    schema: null,
    categories: [],
    failure: ''
  });
  React.useEffect(() => {
    let current = true;
    const set = (change: Partial<IKind>): void => {
      if (current) {
        setKind(before => ({ ...before, failure: '', ...change }));
      }
    };
    fetchKind(model, key, category)
      .then(set)
      .catch(error => set({ failure: messageOf(error) }));
    return () => {
      current = false;
    };
  }, [model, key, category]);
  return kind;
}

/** A category that this broker does not know is kept among the choices; the form shows what all have in common. */
async function fetchKind(
  model: ITeleporter,
  key: string,
  category: string
): Promise<Partial<IKind>> {
  const known = await model.categories(key);
  const schema = await model.schema(
    key,
    known.includes(category) ? category : ''
  );
  const strange = known.length > 0 && category && !known.includes(category);
  return { schema, categories: strange ? [...known, category] : known };
}

function useValidator(): Validator | null {
  const [validator, setValidator] = React.useState<Validator | null>(null);
  React.useEffect(() => {
    let current = true;
    void import('./validator').then(module => {
      if (current) {
        setValidator(module.default);
      }
    });
    return () => {
      current = false;
    };
  }, []);
  return validator;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
