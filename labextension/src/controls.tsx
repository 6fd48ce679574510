/** Small pieces that several views share: a button that is an icon, a search box, a status mark, a notice. */

import { Search } from '@jupyter/react-components';
import { searchIcon, type LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { INotice } from './editor';
import { look } from './status';

export interface IIconButtonProps {
  readonly icon: LabIcon;
  /** What it does; also its name for a screen reader. */
  readonly label: string;
  readonly disabled?: boolean;
  readonly onClick: () => void;
}

export function IconButton(props: IIconButtonProps): JSX.Element {
  return (
    <button
      type="button"
      className="tl-IconButton"
      title={props.label}
      aria-label={props.label}
      disabled={props.disabled}
      onClick={event => {
        event.stopPropagation();
        props.onClick();
      }}
    >
      <props.icon.react tag="span" width="16px" height="16px" />
    </button>
  );
}

/** JupyterLab's filter box, with a name for a screen reader. */
export function SearchBox(props: {
  readonly label: string;
  readonly query: string;
  readonly onQuery: (query: string) => void;
}): JSX.Element {
  const { label, query, onQuery } = props;
  return (
    <Search
      className="jp-FilterBox tl-SearchBox"
      aria-label={label}
      placeholder={label}
      value={query}
      onInput={event => onQuery((event.target as HTMLInputElement).value)}
    >
      <searchIcon.react slot="end" tag={null} />
    </Search>
  );
}

/** A dot whose colour and form tell the status; `text` adds the word. */
export function StatusMark(props: {
  readonly status: string;
  readonly text?: boolean;
}): JSX.Element {
  const { mood, text } = look(props.status);
  return (
    <span className="tl-Status" data-mood={mood} title={text}>
      <span
        className="tl-Status-dot"
        role={props.text ? undefined : 'img'}
        aria-label={props.text ? undefined : text}
      />
      {props.text && <span className="tl-Status-text">{text}</span>}
    </span>
  );
}

/** One sentence, told to a screen reader as it appears. */
export function Notice(props: {
  readonly notice: INotice;
  readonly children?: React.ReactNode;
}): JSX.Element {
  const { tone, text } = props.notice;
  return (
    <div
      className="tl-Notice"
      data-tone={tone}
      role={tone === 'error' ? 'alert' : 'status'}
    >
      <span className="tl-Notice-text">{text}</span>
      {props.children}
    </div>
  );
}

/** What a section says while it has nothing to show. */
export function Empty(props: {
  readonly children: React.ReactNode;
}): JSX.Element {
  return <div className="tl-Empty">{props.children}</div>;
}
