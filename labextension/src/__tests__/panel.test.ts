import { CommandRegistry } from '@lumino/commands';
import type { AccordionPanel } from '@lumino/widgets';
import { act, fireEvent } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TeleporterPanel } from '../panel';
import { CommandIDs } from '../tokens';
import { Double, entry, stream } from './double';
import { attach, find, settle, texts } from './drive';

const STREAM = '/stream/a/t/s';

describe('TeleporterPanel', () => {
  let model: Double;
  let panel: TeleporterPanel;
  let executed: string[];

  beforeEach(async () => {
    model = new Double().with(entry('/namespace/a'), entry(STREAM));
    model.streams.set(STREAM, stream(STREAM));
    executed = [];
    const commands = new CommandRegistry();
    Object.values(CommandIDs).forEach(id =>
      commands.addCommand(id, {
        execute: args =>
          executed.push(
            `${id.replace('teleporter-lab:', '')} ${JSON.stringify(args)}`
          )
      })
    );
    panel = new TeleporterPanel(model, commands);
    await attach(panel);
  });

  afterEach(() => panel.dispose());

  it('follows the broker only while it is shown', () => {
    expect(model.log).toEqual(['activate']);
    panel.hide();
    panel.show();
    panel.dispose();
    expect(model.log).toEqual([
      'activate',
      'deactivate',
      'activate',
      'deactivate'
    ]);
  });

  it('shows chooser, tree and streams; the form once a node is selected', async () => {
    expect(texts(panel.node, '.lm-AccordionPanel-titleLabel')).toEqual([
      'Configuration',
      'Node',
      'Streams'
    ]);
    expect(find(panel.node, '.tl-Brokers')).toBeTruthy();
    expect(find(panel.node, '.tl-Tree')).toBeTruthy();
    const [, form] = (panel.content as AccordionPanel).widgets;
    expect(form?.isHidden).toBe(true);
    act(() => model.select(STREAM));
    await settle();
    expect(form?.isHidden).toBe(false);
    expect(find(panel.node, '.tl-Form').dataset.key).toBe(STREAM);
  });

  it('opens the tree down to what was selected elsewhere', async () => {
    act(() => model.select(STREAM));
    await settle();
    const line = find(panel.node, `.tl-TreeItem[data-key="${STREAM}"]`);
    expect(line.getAttribute('aria-selected')).toBe('true');
  });

  it('draws what changed', async () => {
    model.with(entry('/namespace/b'));
    act(() => model.changed.emit('config'));
    await settle();
    expect(find(panel.node, '[data-id="/namespace/b"]')).toBeTruthy();
  });

  it('does everything by commands', async () => {
    fireEvent.click(find(panel.node, '[aria-label="Stop s"]'));
    fireEvent.click(find(panel.node, '[aria-label="Start another broker…"]'));
    act(() => model.select(STREAM));
    await settle();
    await settle();
    fireEvent.click(find(panel.node, '[aria-label="Delete this node…"]'));
    await settle();
    expect(executed).toEqual([
      `stop-stream {"key":"${STREAM}"}`,
      'start-broker {}',
      `delete-node {"key":"${STREAM}"}`
    ]);
  });
});
