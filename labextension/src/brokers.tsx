/** The chooser at the top of the panel: which broker, is it alive, start it, stop it. */

import {
  addIcon,
  HTMLSelect,
  runIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';
import { IconButton, Notice } from './controls';
import type { IBroker, ITeleporter } from './tokens';

export interface IBrokersProps {
  readonly model: ITeleporter;
  readonly start: (name: string) => void;
  readonly stop: (name: string) => void;
  /** Ask for a name and start a broker of that name. */
  readonly create: () => void;
}

export function BrokerChooser(props: IBrokersProps): JSX.Element {
  const { model } = props;
  const chosen = model.brokers.find(broker => broker.name === model.broker);
  return (
    <div className="tl-Brokers" role="region" aria-label="Broker">
      <div className="tl-Brokers-row">
        <span
          className="tl-Status"
          data-mood={mood(model, chosen)}
          title={connection(model, chosen)}
        >
          <span
            className="tl-Status-dot"
            role="img"
            aria-label={connection(model, chosen)}
          />
        </span>
        <Choice model={model} />
        <Power {...props} chosen={chosen} />
        <IconButton
          icon={addIcon}
          label="Start another broker…"
          disabled={model.busy !== null}
          onClick={props.create}
        />
      </div>
      <State {...props} chosen={chosen} />
    </div>
  );
}

function Choice({ model }: { readonly model: ITeleporter }): JSX.Element {
  const names = model.brokers.map(broker => broker.name);
  if (model.broker && !names.includes(model.broker)) {
    names.unshift(model.broker);
  }
  return (
    <HTMLSelect
      className="tl-Brokers-select"
      aria-label="Broker"
      value={model.broker ?? ''}
      disabled={names.length === 0}
      onChange={event => model.choose(event.target.value)}
    >
      {names.length === 0 && <option value="">No broker</option>}
      {names.map(name => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </HTMLSelect>
  );
}

interface IChosen extends IBrokersProps {
  readonly chosen: IBroker | undefined;
}

function Power(props: IChosen): JSX.Element {
  const { model, chosen, start, stop } = props;
  const busy = model.busy !== null;
  const name = model.broker ?? 'default';
  return chosen?.alive ? (
    <IconButton
      icon={stopIcon}
      label={`Stop broker ${name}…`}
      disabled={busy}
      onClick={() => stop(name)}
    />
  ) : (
    <IconButton
      icon={runIcon}
      label={`Start broker ${name}`}
      disabled={busy}
      onClick={() => start(name)}
    />
  );
}

/** A line below the chooser when there is something to say. */
function State(props: IChosen): JSX.Element | null {
  const { model, chosen, start } = props;
  if (model.busy !== null) {
    const stopping = chosen?.alive && model.busy === chosen.name;
    const text = `${stopping ? 'Stopping' : 'Starting'} ${model.busy}…`;
    return <Notice notice={{ tone: 'info', text }} />;
  }
  if (model.error) {
    return <Notice notice={{ tone: 'error', text: model.error }} />;
  }
  if (model.brokers.length === 0 && model.phase === 'idle') {
    return (
      <Notice notice={{ tone: 'info', text: 'No broker is running.' }}>
        <button
          type="button"
          className="jp-mod-styled jp-mod-accept tl-Button"
          onClick={() => start('default')}
        >
          Start a broker
        </button>
      </Notice>
    );
  }
  return null;
}

function mood(model: ITeleporter, chosen: IBroker | undefined): string {
  if (model.phase === 'offline') {
    return 'bad';
  }
  return chosen?.alive && model.phase === 'ready' ? 'good' : 'quiet';
}

function connection(model: ITeleporter, chosen: IBroker | undefined): string {
  switch (model.phase) {
    case 'idle':
      return 'No broker is chosen';
    case 'loading':
      return 'Connecting…';
    case 'offline':
      return 'The broker does not answer';
    case 'ready':
      return [
        model.live ? 'Live' : 'Polling, no websocket',
        chosen && `version ${chosen.version}, pid ${chosen.pid}`
      ]
        .filter(Boolean)
        .join(', ');
  }
}
