import { Notification } from '@jupyterlab/apputils';
import { CommandRegistry } from '@lumino/commands';
import { fireEvent } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addCommands } from '../commands';
import { CommandIDs } from '../tokens';
import { Double, entry, stream } from './double';
import { find, settle } from './drive';

const TASK = '/task/a/t';
const STREAM = '/stream/a/t/s';

describe('commands', () => {
  let model: Double;
  let commands: CommandRegistry;

  beforeEach(() => {
    model = new Double().with(entry(TASK), entry(STREAM));
    model.streams.set(STREAM, stream(STREAM));
    commands = new CommandRegistry();
    addCommands(commands, model);
    Notification.manager.dismiss();
  });

  afterEach(() => document.body.replaceChildren());

  const messages = (): string[] =>
    Notification.manager.notifications.map(({ message }) => message);

  async function answer(button: string, text?: string): Promise<void> {
    await settle();
    const dialog = find(document, '.jp-Dialog');
    if (text !== undefined) {
      (find(dialog, 'input') as HTMLInputElement).value = text;
    }
    fireEvent.click(find(dialog, `.jp-Dialog-button.${button}`));
    await settle();
  }

  it('adds all but the one that opens the panel', () => {
    const { open, ...rest } = CommandIDs;
    expect(commands.listCommands().sort()).toEqual(Object.values(rest).sort());
    expect(commands.hasCommand(open)).toBe(false);
    Object.values(rest).forEach(id => expect(commands.label(id)).not.toBe(''));
  });

  it('starts a broker by name, or asks for one', async () => {
    await commands.execute(CommandIDs.startBroker, { name: 'a' });
    const asked = commands.execute(CommandIDs.startBroker);
    await answer('jp-mod-accept', 'b');
    await asked;
    const refused = commands.execute(CommandIDs.startBroker);
    await answer('jp-mod-reject', 'c');
    await refused;
    expect(model.log).toEqual(['start broker a', 'start broker b']);
  });

  it('stops a broker only after a yes', async () => {
    const no = commands.execute(CommandIDs.stopBroker);
    await answer('jp-mod-reject');
    await no;
    const yes = commands.execute(CommandIDs.stopBroker);
    await answer('jp-mod-warn');
    await yes;
    expect(model.log).toEqual(['stop broker default']);
  });

  it('tells a failure and keeps it until it is read', async () => {
    model.startBroker = () => Promise.reject(new Error('The port is taken.'));
    await commands.execute(CommandIDs.startBroker, { name: 'a' });
    expect(messages()).toEqual(['Broker a did not start: The port is taken.']);
  });

  it('makes a new node below the selected one', async () => {
    model.selected = STREAM;
    const done = commands.execute(CommandIDs.newNode);
    await settle();
    const box = find(document, '.jp-Dialog input') as HTMLInputElement;
    expect(box.value).toBe('/stream/a/t/');
    await answer('jp-mod-accept', '/ns/b');
    await done;
    expect(model.selected).toBe('/namespace/b');
  });

  it('refuses what is no key with the reason', async () => {
    const done = commands.execute(CommandIDs.newNode);
    await answer('jp-mod-accept', '/stream/a');
    await done;
    expect(model.selected).toBeNull();
    expect(messages()[0]).toContain('/stream/:ns/:task/:stream');
  });

  it('deletes a node after a yes, and says what stays', async () => {
    const done = commands.execute(CommandIDs.deleteNode, { key: TASK });
    await settle();
    expect(find(document, '.jp-Dialog').textContent).toContain('stays: 1');
    await answer('jp-mod-warn');
    await done;
    expect(model.log).toEqual([`remove ${TASK}`]);
  });

  it('applies the selected node and tells where', async () => {
    model.selected = TASK;
    await commands.execute(CommandIDs.applyNode);
    expect(messages()).toEqual([`${TASK} is applied on /instance/a/i.`]);
    model.applied = {
      key: TASK,
      notified: [],
      problems: [{ path: 'template', message: 'Line 3.' }]
    };
    await commands.execute(CommandIDs.applyNode);
    expect(messages().join()).toContain('template: Line 3.');
  });

  it('offers for a stream what makes sense', async () => {
    const { startStream, stopStream, refreshStream } = CommandIDs;
    const args = { key: STREAM };
    expect(commands.isEnabled(startStream, args)).toBe(false);
    expect(commands.isEnabled(stopStream, args)).toBe(true);
    expect(commands.isEnabled(stopStream, { key: TASK })).toBe(false);
    await commands.execute(stopStream, args);
    model.selected = STREAM;
    await commands.execute(refreshStream);
    expect(model.log).toEqual([`stop ${STREAM}`, `refresh ${STREAM}`]);
  });

  it('is disabled where there is nothing to do it to', () => {
    const { deleteNode, applyNode, copyKey } = CommandIDs;
    for (const id of [deleteNode, applyNode, copyKey]) {
      expect(commands.isEnabled(id)).toBe(false);
    }
  });

  it('loads again', async () => {
    await commands.execute(CommandIDs.reload);
    expect(model.log).toEqual(['reload']);
  });
});
