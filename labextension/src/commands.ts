/**
 * The commands: all that a button, the palette, a menu or a shortcut can do. Owns the questions before what cannot
 * be taken back and the telling of failures.
 */

import {
  Clipboard,
  Dialog,
  InputDialog,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import { refreshIcon, runIcon, stopIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { applyIcon } from './icons';
import { InvalidKey, Key } from './key';
import { messageOf } from './request';
import { running } from './status';
import { CommandIDs, type ITeleporter, type StreamAction } from './tokens';

type Args = ReadonlyPartialJSONObject;

/** For an input's `pattern`, which browsers read more strictly than a literal: the hyphen needs its backslash. */
const BROKER_PATTERN = '[A-Za-z0-9_.\\-]+';
const BROKER_NAME = new RegExp(`^(${BROKER_PATTERN})$`);

export function addCommands(
  commands: CommandRegistry,
  model: ITeleporter
): void {
  addBrokerCommands(commands, model);
  addNodeCommands(commands, model);
  addStreamCommands(commands, model);
}

function addBrokerCommands(
  commands: CommandRegistry,
  model: ITeleporter
): void {
  commands.addCommand(CommandIDs.startBroker, {
    label: 'Start Broker…',
    execute: async args => {
      const name = text(args, 'name') ?? (await askBrokerName());
      if (name) {
        await told(`Broker ${name} did not start`, model.startBroker(name));
      }
    }
  });
  commands.addCommand(CommandIDs.stopBroker, {
    label: 'Stop Broker…',
    isEnabled: () => model.broker !== null,
    execute: async args => {
      const name = text(args, 'name') ?? model.broker;
      if (name && (await confirmStop(name))) {
        await told(`Broker ${name} did not stop`, model.stopBroker(name));
      }
    }
  });
  commands.addCommand(CommandIDs.reload, {
    label: 'Load the Broker’s State Again',
    execute: () => told('Not loaded', model.reload())
  });
}

function addNodeCommands(commands: CommandRegistry, model: ITeleporter): void {
  const keyOf = (args: Args): string | null =>
    text(args, 'key') ?? model.selected;
  commands.addCommand(CommandIDs.newNode, {
    label: 'New Node…',
    isEnabled: () => model.phase === 'ready',
    execute: async () => {
      const key = await askKey(model.selected);
      if (key) {
        model.select(key);
      }
    }
  });
  commands.addCommand(CommandIDs.deleteNode, {
    label: 'Delete Node…',
    isEnabled: args => model.entries.has(keyOf(args) ?? ''),
    execute: async args => {
      const key = keyOf(args);
      if (key && (await confirmDelete(key, model))) {
        await told(`${key} was not deleted`, model.remove(key));
      }
    }
  });
  commands.addCommand(CommandIDs.applyNode, {
    label: 'Refresh: Apply to What Is Running',
    icon: applyIcon,
    isEnabled: args => model.entries.has(keyOf(args) ?? ''),
    execute: async args => {
      const key = keyOf(args);
      if (key) {
        await told(`${key} was not applied`, applied(model, key));
      }
    }
  });
  commands.addCommand(CommandIDs.copyKey, {
    label: 'Copy Key',
    isEnabled: args => keyOf(args) !== null,
    execute: args => Clipboard.copyToSystem(keyOf(args) ?? '')
  });
}

function addStreamCommands(
  commands: CommandRegistry,
  model: ITeleporter
): void {
  const keyOf = (args: Args): string =>
    text(args, 'key') ?? model.selected ?? '';
  const add = (
    id: string,
    action: StreamAction,
    options: Pick<CommandRegistry.ICommandOptions, 'label' | 'icon'>,
    enabled: (isRunning: boolean) => boolean
  ): void => {
    commands.addCommand(id, {
      ...options,
      isEnabled: args => {
        const stream = model.streams.get(keyOf(args));
        return stream !== undefined && enabled(running(stream));
      },
      execute: async args => {
        const key = keyOf(args);
        await told(`${action} ${key} failed`, model.command(action, key));
      }
    });
  };
  const { startStream, stopStream, restartStream, refreshStream } = CommandIDs;
  add(
    startStream,
    'start',
    { label: 'Start Stream', icon: runIcon },
    is => !is
  );
  add(stopStream, 'stop', { label: 'Stop Stream', icon: stopIcon }, is => is);
  add(
    restartStream,
    'restart',
    { label: 'Restart Stream', icon: refreshIcon },
    is => is
  );
  add(
    refreshStream,
    'refresh',
    { label: 'Refresh Stream', icon: applyIcon },
    () => true
  );
}

async function applied(model: ITeleporter, key: string): Promise<void> {
  const { notified, problems } = await model.apply(key);
  if (problems.length) {
    const reasons = problems.map(({ path, message }) =>
      [path, message].filter(Boolean).join(': ')
    );
    throw new Error(reasons.join(' '));
  }
  Notification.success(
    notified.length
      ? `${key} is applied on ${notified.join(', ')}.`
      : `Nothing that runs uses ${key} now.`,
    { autoClose: 3000 }
  );
}

/** A failure becomes a notification that stays until it is read. */
async function told(what: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    Notification.error(`${what}: ${messageOf(error)}`, { autoClose: false });
  }
}

async function askBrokerName(): Promise<string | null> {
  const { button, value } = await InputDialog.getText({
    title: 'Start a broker',
    label: 'Name, of letters, digits, "_", "." and "-"',
    text: 'default',
    okLabel: 'Start',
    pattern: BROKER_PATTERN
  });
  const name = value?.trim() ?? '';
  return button.accept && BROKER_NAME.test(name) ? name : null;
}

async function askKey(near: string | null): Promise<string | null> {
  const { button, value } = await InputDialog.getText({
    title: 'New node',
    label: 'Key, such as /stream/ns/task/name',
    text: near ? near.replace(/[^/]+$/, '') : '/namespace/',
    okLabel: 'Continue'
  });
  if (!button.accept || !value?.trim()) {
    return null;
  }
  try {
    return String(Key.parse(value.trim()));
  } catch (error) {
    if (error instanceof InvalidKey) {
      Notification.error(error.message, { autoClose: false });
      return null;
    }
    throw error;
  }
}

async function confirmStop(name: string): Promise<boolean> {
  const { button } = await showDialog({
    title: `Stop broker ${name}?`,
    body: 'Its configuration is kept. Instances go on with what they run and look for another broker.',
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Stop' })]
  });
  return button.accept;
}

async function confirmDelete(
  key: string,
  model: ITeleporter
): Promise<boolean> {
  const { button } = await showDialog({
    title: 'Delete this node?',
    body: `${key} is deleted from the configuration.${below(key, model)}`,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Delete' })]
  });
  return button.accept;
}

/** A sentence about the nodes that stay. */
function below(key: string, model: ITeleporter): string {
  const { segments } = Key.parse(key);
  const path = `/${segments.join('/')}/`;
  const rest = [...model.entries.keys()].filter(other =>
    other.replace(/^\/[^/]+/, '').startsWith(path)
  );
  return rest.length ? ` What hangs below it stays: ${rest.length} nodes.` : '';
}

function text(args: Args, name: string): string | null {
  const value = args[name];
  return typeof value === 'string' ? value : null;
}
