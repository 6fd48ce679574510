/** One icon for each kind of node, drawn for both themes: their shapes carry `jp-icon3`. */

import { folderIcon, LabIcon } from '@jupyterlab/ui-components';
import type { Table } from './key';
import address from '../style/icons/address.svg';
import apply from '../style/icons/apply.svg';
import broker from '../style/icons/broker.svg';
import group from '../style/icons/group.svg';
import instance from '../style/icons/instance.svg';
import namespace from '../style/icons/namespace.svg';
import partition from '../style/icons/partition.svg';
import sink from '../style/icons/sink.svg';
import source from '../style/icons/source.svg';
import stream from '../style/icons/stream.svg';
import task from '../style/icons/task.svg';
import teleporter from '../style/icons/teleporter.svg';
import variable from '../style/icons/variable.svg';

function icon(name: string, svgstr: string): LabIcon {
  return new LabIcon({ name: `teleporter-lab:${name}`, svgstr });
}

/** The mark of the panel in the side bar. */
export const teleporterIcon = icon('teleporter', teleporter);

/** Apply what is saved to what is running. */
export const applyIcon = icon('apply', apply);

const TABLES: Readonly<Record<Table, LabIcon>> = {
  namespace: icon('namespace', namespace),
  broker: icon('broker', broker),
  instance: icon('instance', instance),
  group: icon('group', group),
  task: icon('task', task),
  partition: icon('partition', partition),
  stream: icon('stream', stream),
  source: icon('source', source),
  sink: icon('sink', sink),
  address: icon('address', address),
  variable: icon('variable', variable)
};

export function iconOf(kind: Table | 'folder'): LabIcon {
  return kind === 'folder' ? folderIcon : TABLES[kind];
}
