/** The wiring: three plugins (model, panel, commands). No code of its own; only the application itself is required. */

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Brokers } from './api';
import { addCommands } from './commands';
import { Teleporter } from './model';
import { TeleporterPanel } from './panel';
import { CommandIDs, ITeleporter } from './tokens';

export * from './tokens';

const CATEGORY = 'Teleporter';

const model: JupyterFrontEndPlugin<ITeleporter> = {
  id: 'teleporter-lab:model',
  description:
    'Provides the state of teleporter-lab: brokers, configuration, streams.',
  autoStart: true,
  provides: ITeleporter,
  optional: [ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    registry: ISettingRegistry | null
  ): ITeleporter => {
    const server = new Brokers(app.serviceManager.serverSettings);
    const teleporter = new Teleporter(server);
    void follow(registry, teleporter);
    return teleporter;
  }
};

const commands: JupyterFrontEndPlugin<void> = {
  id: 'teleporter-lab:commands',
  description: 'Adds the commands of teleporter-lab, also to the palette.',
  autoStart: true,
  requires: [ITeleporter],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    teleporter: ITeleporter,
    palette: ICommandPalette | null
  ): void => {
    addCommands(app.commands, teleporter);
    Object.values(CommandIDs).forEach(command => {
      palette?.addItem({ command, category: CATEGORY });
    });
  }
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'teleporter-lab:panel',
  description: 'Adds the side panel of teleporter-lab.',
  autoStart: true,
  requires: [ITeleporter],
  optional: [ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    teleporter: ITeleporter,
    restorer: ILayoutRestorer | null
  ): void => {
    const widget = new TeleporterPanel(teleporter, app.commands);
    app.shell.add(widget, 'left', { rank: 550, type: 'Teleporter' });
    restorer?.add(widget, widget.id);
    app.commands.addCommand(CommandIDs.open, {
      label: 'Show the Teleporter Panel',
      execute: () => app.shell.activateById(widget.id)
    });
  }
};

/** Settings are a convenience: without them, or with broken ones, the defaults hold. */
async function follow(
  registry: ISettingRegistry | null,
  teleporter: Teleporter
): Promise<void> {
  if (!registry) {
    return;
  }
  const settings = await registry.load(model.id).catch((reason: unknown) => {
    console.warn(
      `The settings of ${model.id} cannot be read: ${String(reason)}`
    );
    return null;
  });
  const read = (): void => {
    const seconds = settings?.get('pollInterval').composite;
    if (typeof seconds === 'number') {
      teleporter.interval = seconds * 1000;
    }
  };
  settings?.changed.connect(read);
  read();
}

export default [model, commands, panel];
