import { folderIcon } from '@jupyterlab/ui-components';
import { expect, it } from 'vitest';
import { applyIcon, iconOf, teleporterIcon } from '../icons';
import { SEGMENTS, type Table } from '../key';

it('has an icon of its own for every table, coloured by the theme', () => {
  const tables = Object.keys(SEGMENTS) as Table[];
  const icons = [...tables.map(iconOf), teleporterIcon, applyIcon];
  expect(new Set(icons.map(icon => icon.svgstr)).size).toBe(tables.length + 2);
  icons.forEach(icon => expect(icon.svgstr).toContain('jp-icon3'));
  expect(iconOf('folder')).toBe(folderIcon);
});
