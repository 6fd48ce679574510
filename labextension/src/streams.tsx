/** The table of streams: status in colour and words, counters, rate, and the buttons that command one. */

import { refreshIcon, runIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { Empty, IconButton, SearchBox, StatusMark } from './controls';
import { applyIcon } from './icons';
import { Key } from './key';
import { ago, count, look, rate, running, summary } from './status';
import type { IStream, ITeleporter, StreamAction } from './tokens';

/** Rows that are drawn at first; more on demand, so that thousands of streams do not freeze the page. */
const PAGE = 100;

export interface IStreamsProps {
  readonly model: ITeleporter;
  readonly command: (action: StreamAction, key: string) => void;
}

const byKey = new Intl.Collator('en', { numeric: true }).compare;

export function StreamTable({ model, command }: IStreamsProps): JSX.Element {
  const [query, setQuery] = React.useState('');
  const [shown, setShown] = React.useState(PAGE);
  const found = search(model.streams.values(), query);
  if (model.streams.size === 0) {
    return (
      <div className="tl-Streams">
        <Empty>
          {model.phase === 'ready' ? 'No streams yet.' : 'No streams to show.'}
        </Empty>
      </div>
    );
  }
  return (
    <div className="tl-Streams" data-offline={model.phase === 'offline'}>
      <SearchBox label="Search streams" query={query} onQuery={setQuery} />
      <div className="tl-Streams-summary" role="status">
        {summary(found) || `Nothing matches "${query}".`}
      </div>
      <Table
        rows={found.slice(0, shown)}
        selected={model.selected}
        select={key => model.select(key)}
        command={command}
      />
      {found.length > shown && (
        <button
          type="button"
          className="tl-Link"
          onClick={() => setShown(shown + PAGE)}
        >
          {`Show more of ${found.length.toLocaleString('en')}`}
        </button>
      )}
    </div>
  );
}

function search(streams: Iterable<IStream>, query: string): IStream[] {
  const wanted = query.trim().toLowerCase();
  return [...streams]
    .filter(({ key, status }) =>
      `${key} ${look(status).text}`.toLowerCase().includes(wanted)
    )
    .sort((a, b) => byKey(a.key, b.key));
}

interface ITableProps {
  readonly rows: readonly IStream[];
  readonly selected: string | null;
  readonly select: (key: string) => void;
  readonly command: IStreamsProps['command'];
}

/** Roles are spelled out because a narrow panel lays the rows out as grids, which would lose them. */
function Table(props: ITableProps): JSX.Element {
  const columns = [
    'Status',
    'Stream',
    'Rate',
    'Read',
    'Written',
    'Instance',
    'Error'
  ];
  return (
    <table className="tl-StreamTable" role="table" aria-label="Streams">
      <thead role="rowgroup">
        <tr role="row">
          {columns.map(name => (
            <th key={name} role="columnheader" data-column={name}>
              {name}
            </th>
          ))}
          <th role="columnheader" data-column="Actions">
            <span className="tl-mod-unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {props.rows.map(stream => (
          <Row
            key={stream.key}
            stream={stream}
            selected={stream.key === props.selected}
            select={props.select}
            command={props.command}
          />
        ))}
      </tbody>
    </table>
  );
}

interface IRowProps {
  readonly stream: IStream;
  readonly selected: boolean;
  readonly select: (key: string) => void;
  readonly command: IStreamsProps['command'];
}

const Row = React.memo((props: IRowProps): JSX.Element => {
  const { stream, selected, select } = props;
  const { ns, segments, name } = Key.parse(stream.key);
  return (
    <tr
      role="row"
      className={`tl-StreamRow${selected ? ' tl-mod-selected' : ''}`}
      data-key={stream.key}
      data-table="stream"
      onContextMenu={() => select(stream.key)}
    >
      <td role="cell" data-column="Status">
        <StatusMark status={stream.status} text />
      </td>
      <th role="rowheader" scope="row" data-column="Stream">
        <button
          type="button"
          className="tl-StreamRow-name"
          title={`${stream.key}: show its configuration`}
          onClick={() => select(stream.key)}
        >
          {name}
        </button>
        <span className="tl-StreamRow-task">{`${ns}/${segments[1] ?? ''}`}</span>
      </th>
      <Numbers stream={stream} />
      <td role="cell" data-column="Error" title={stream.error ?? ''}>
        {stream.error}
      </td>
      <td role="cell" data-column="Actions">
        <Actions stream={stream} command={props.command} />
      </td>
    </tr>
  );
});
Row.displayName = 'StreamRow';

function Numbers({ stream }: { readonly stream: IStream }): JSX.Element {
  const counts = stream.counts ?? {};
  const since = ago(stream.since);
  const details = Object.entries(counts)
    .map(([name, value]) => `${name.replace('_', ' ')}: ${count(value)}`)
    .join('\n');
  const instance = stream.instance?.split('/').pop() ?? '';
  return (
    <>
      <td role="cell" data-column="Rate">
        {rate(stream.rate)}
      </td>
      <td role="cell" data-column="Read" title={details}>
        {count(counts.read)}
      </td>
      <td role="cell" data-column="Written" title={details}>
        {count(counts.written)}
      </td>
      <td
        role="cell"
        data-column="Instance"
        title={[
          stream.instance,
          since && `for ${since}`,
          stream.restarts && `${stream.restarts} restarts`
        ]
          .filter(Boolean)
          .join(', ')}
      >
        {instance}
      </td>
    </>
  );
}

function Actions(props: {
  readonly stream: IStream;
  readonly command: IStreamsProps['command'];
}): JSX.Element {
  const { key } = props.stream;
  const { name } = Key.parse(key);
  const act = (action: StreamAction) => () => props.command(action, key);
  return (
    <span className="tl-StreamRow-actions">
      {running(props.stream) ? (
        <IconButton
          icon={stopIcon}
          label={`Stop ${name}`}
          onClick={act('stop')}
        />
      ) : (
        <IconButton
          icon={runIcon}
          label={`Start ${name}`}
          onClick={act('start')}
        />
      )}
      <IconButton
        icon={refreshIcon}
        label={`Restart ${name}`}
        disabled={!running(props.stream)}
        onClick={act('restart')}
      />
      <IconButton
        icon={applyIcon}
        label={`Refresh ${name}: apply its saved configuration`}
        onClick={act('refresh')}
      />
    </span>
  );
}
