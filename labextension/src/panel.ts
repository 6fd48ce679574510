/**
 * The side panel: the broker chooser above three sections, the configuration, the form of the selected node, streams.
 *
 * Owns the layout and which signal redraws what. Everything that a button does is a command.
 */

import {
  addIcon,
  PanelWithToolbar,
  refreshIcon,
  SidePanel,
  ToolbarButton
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import type { AccordionPanel } from '@lumino/widgets';
import { createElement } from 'react';
import { BrokerChooser } from './brokers';
import { Editor } from './editor';
import { NodeForm } from './form';
import { buildTree, type ITreeNode } from './hierarchy';
import { teleporterIcon } from './icons';
import { StreamTable } from './streams';
import { CommandIDs, type ITeleporter, type StreamAction } from './tokens';
import { ConfigTree, revealed } from './tree';
import { View } from './view';

const STREAM_COMMANDS: Readonly<Record<StreamAction, string>> = {
  start: CommandIDs.startStream,
  stop: CommandIDs.stopStream,
  restart: CommandIDs.restartStream,
  refresh: CommandIDs.refreshStream
};

/** Places of the sections in the accordion. */
const NODE = 1;

/** Their shares of the height once all three are open. */
const SIZES = [3, 4, 3];

export class TeleporterPanel extends SidePanel {
  constructor(
    private readonly model: ITeleporter,
    private readonly commands: CommandRegistry
  ) {
    super({});
    this.id = 'teleporter-lab-panel';
    this.addClass('tl-Panel');
    this.title.icon = teleporterIcon;
    this.title.caption = 'Teleporter: brokers, configuration and streams';
    this.header.addWidget(this.brokers());
    this.addWidget(this.configuration());
    this.addWidget(this.form());
    this.addWidget(this.streams());
    this.accordion.collapse(NODE);
    model.changed.connect((_, topic) => {
      if (topic === 'selection') {
        this.onSelection();
      }
    }, this);
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this.isVisible) {
      this.model.activate();
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.model.activate();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.model.deactivate();
  }

  protected override onBeforeDetach(message: Message): void {
    this.model.deactivate();
    super.onBeforeDetach(message);
  }

  private get accordion(): AccordionPanel {
    return this.content as AccordionPanel;
  }

  private brokers(): View {
    const { model } = this;
    const run = (id: string) => (name: string) => this.run(id, { name });
    const view = new View(() =>
      createElement(BrokerChooser, {
        model,
        start: run(CommandIDs.startBroker),
        stop: run(CommandIDs.stopBroker),
        create: () => this.run(CommandIDs.startBroker)
      })
    );
    return view.follow(model.changed, ['brokers']);
  }

  private configuration(): PanelWithToolbar {
    const { model } = this;
    const view: View = new View(() =>
      createElement(ConfigTree, {
        model,
        nodes: this.nodes(),
        open: this._open,
        onOpen: ids => {
          this._open = ids;
          view.invalidate();
        }
      })
    );
    view.follow(model.changed, ['brokers', 'config', 'streams', 'selection']);
    const section = sectionOf('Configuration', view);
    this.button(section, 'New node…', addIcon, CommandIDs.newNode);
    this.button(section, 'Load again', refreshIcon, CommandIDs.reload);
    return section;
  }

  private form(): PanelWithToolbar {
    const { model } = this;
    const editor = new Editor(model);
    const view = new View(() =>
      createElement(NodeForm, {
        model,
        editor,
        remove: key => this.run(CommandIDs.deleteNode, { key })
      })
    );
    view.follow(model.changed, ['config', 'selection']);
    view.follow(editor.changed);
    return sectionOf('Node', view);
  }

  private streams(): PanelWithToolbar {
    const { model } = this;
    const view = new View(() =>
      createElement(StreamTable, {
        model,
        command: (action, key) => this.run(STREAM_COMMANDS[action], { key })
      })
    );
    view.follow(model.changed, ['streams', 'selection']);
    return sectionOf('Streams', view);
  }

  private button(
    section: PanelWithToolbar,
    tooltip: string,
    icon: typeof addIcon,
    command: string
  ): void {
    const onClick = (): void => this.run(command);
    section.toolbar.addItem(
      command,
      new ToolbarButton({ icon, tooltip, onClick })
    );
  }

  /** The tree is built again only when the set of keys changed. */
  private nodes(): readonly ITreeNode[] {
    const signature = [...this.model.entries.keys()].join('\n');
    if (signature !== this._signature) {
      this._signature = signature;
      this._nodes = buildTree(this.model.entries.keys());
      if (!this._open.size) {
        this._open = new Set(this._nodes.map(node => node.id));
      }
    }
    return this._nodes;
  }

  private onSelection(): void {
    const { selected } = this.model;
    this._open = revealed(this._open, selected);
    if (selected && this.accordion.widgets[NODE]?.isHidden) {
      this.accordion.expand(NODE);
      if (!this._arranged) {
        // A section that was closed from the start has no height to come back to.
        this._arranged = true;
        this.accordion.setRelativeSizes(SIZES);
      }
    }
  }

  private run(id: string, args: Record<string, string> = {}): void {
    void this.commands.execute(id, args);
  }

  private _open: ReadonlySet<string> = new Set();
  private _nodes: readonly ITreeNode[] = [];
  private _signature = '';
  private _arranged = false;
}

function sectionOf(label: string, view: View): PanelWithToolbar {
  const section = new PanelWithToolbar();
  section.addClass('tl-Section');
  section.title.label = label;
  section.addWidget(view);
  return section;
}
