/**
 * The configuration tree: search box, lines with keyboard and ARIA from the toolkit's TreeView.
 *
 * Owns which lines are open. Only open branches are in the page, and of a very long branch only its beginning.
 */

import { TreeItem, TreeView } from '@jupyter/react-components';
import * as React from 'react';
import { Empty, SearchBox, StatusMark } from './controls';
import { ancestors, filterTree, size, type ITreeNode } from './hierarchy';
import { iconOf } from './icons';
import type { ITeleporter } from './tokens';

const MOST = 500;

/** A search that leaves fewer lines than this opens all of them. */
const OPEN_ALL = 200;

export interface ITreeProps {
  readonly model: ITeleporter;
  readonly nodes: readonly ITreeNode[];
  /** Ids of the open lines; the owner keeps them over redraws. */
  readonly open: ReadonlySet<string>;
  readonly onOpen: (ids: ReadonlySet<string>) => void;
  /** Lines of one branch that are drawn; the search finds the others. */
  readonly most?: number;
}

/** What each line needs besides its node. */
interface ILines {
  readonly open: (id: string) => boolean;
  readonly selected: string | null;
  readonly status: (key: string) => string | undefined;
  readonly most: number;
}

export function ConfigTree(props: ITreeProps): JSX.Element {
  const { model, nodes, open } = props;
  const [query, setQuery] = React.useState('');
  const found = React.useMemo(() => filterTree(nodes, query), [nodes, query]);
  const wide = query.trim() !== '' && size(found) < OPEN_ALL;
  const host = useTreeEvents(props);
  useReveal(host, model.selected);
  const lines: ILines = {
    most: props.most ?? MOST,
    open: id => wide || open.has(id),
    selected: model.selected,
    status: key =>
      model.streams.get(key)?.status ?? model.instances.get(key)?.toUpperCase()
  };
  return (
    <div className="tl-Tree" ref={host}>
      <SearchBox
        label="Search the configuration"
        query={query}
        onQuery={setQuery}
      />
      {found.length > 0 ? (
        <TreeView className="tl-Tree-view" aria-label="Configuration">
          {found.map(node => line(node, lines))}
        </TreeView>
      ) : (
        <Empty>{emptyText(model, query)}</Empty>
      )}
    </div>
  );
}

/** A plain function, not a component: the toolkit wants its items to be each other's children. */
function line(node: ITreeNode, lines: ILines): JSX.Element {
  const isOpen = lines.open(node.id);
  const Icon = iconOf(node.kind);
  const status = node.key ? lines.status(node.key) : undefined;
  return (
    <TreeItem
      key={node.id}
      className={`tl-TreeItem${node.saved ? '' : ' tl-mod-implied'}`}
      data-id={node.id}
      data-key={node.key ?? undefined}
      data-table={node.kind === 'folder' ? undefined : node.table}
      expanded={isOpen && node.children.length > 0}
      selected={node.key !== null && node.key === lines.selected}
      title={titleOf(node)}
    >
      <span slot="start" className="tl-TreeItem-icon" aria-hidden="true">
        <Icon.react tag="span" width="16px" height="16px" />
      </span>
      <span className="tl-TreeItem-label">{node.label}</span>
      {node.kind === 'folder' && (
        <span slot="end" className="tl-TreeItem-count">
          {node.children.length}
        </span>
      )}
      {status && (
        <span slot="end">
          <StatusMark status={status} />
        </span>
      )}
      {node.children.length > 0 && branch(node, isOpen, lines)}
    </TreeItem>
  );
}

/** A closed branch holds one empty line, so that the toolkit knows it can be opened. */
function branch(node: ITreeNode, isOpen: boolean, lines: ILines): JSX.Element {
  if (!isOpen) {
    return <TreeItem className="tl-TreeItem tl-mod-closed" />;
  }
  const rest = node.children.length - lines.most;
  return (
    <>
      {node.children.slice(0, lines.most).map(child => line(child, lines))}
      {rest > 0 && (
        <TreeItem className="tl-TreeItem" disabled>
          {`${rest.toLocaleString('en')} more: search for them`}
        </TreeItem>
      )}
    </>
  );
}

function titleOf(node: ITreeNode): string {
  if (!node.key) {
    return node.label;
  }
  return node.saved ? node.key : `${node.key} (has no entry of its own)`;
}

function emptyText(model: ITeleporter, query: string): string {
  if (model.phase === 'loading') {
    return 'Loading…';
  }
  if (query.trim()) {
    return `Nothing matches "${query.trim()}".`;
  }
  return model.phase === 'ready'
    ? 'No configuration yet. Add a node with the plus sign above.'
    : 'Choose or start a broker to see its configuration.';
}

type Item = HTMLElement & { expanded: boolean; selected: boolean };

function itemOf(event: Event): Item | null {
  const target = event.target;
  return target instanceof HTMLElement && target.dataset.id
    ? (target as Item)
    : null;
}

/** The toolkit's events bubble, so one listener at the top hears every line. */
function useTreeEvents(props: ITreeProps): React.RefObject<HTMLDivElement> {
  const host = React.useRef<HTMLDivElement>(null);
  const latest = React.useRef(props);
  latest.current = props;
  React.useEffect(() => {
    const node = host.current;
    if (!node) {
      return;
    }
    const heard: Record<string, (item: Item) => void> = {
      'expanded-change': item => toggled(latest.current, item),
      'selected-change': item => picked(latest.current.model, item),
      contextmenu: item => pick(latest.current.model, item),
      dblclick: item => flip(item)
    };
    const listeners = Object.entries(heard).map(([name, act]) => {
      const listener = (event: Event): void => {
        const item = itemOf(event) ?? closest(event);
        if (item) {
          act(item);
        }
      };
      node.addEventListener(name, listener);
      return () => node.removeEventListener(name, listener);
    });
    return () => listeners.forEach(remove => remove());
  }, []);
  return host;
}

/** The line around what was clicked, such as its icon. */
function closest(event: Event): Item | null {
  const { target } = event;
  return target instanceof Element ? target.closest<Item>('[data-id]') : null;
}

function toggled({ open, onOpen }: ITreeProps, item: Item): void {
  const id = item.dataset.id ?? '';
  if (open.has(id) !== item.expanded) {
    const next = new Set(open);
    if (item.expanded) {
      next.add(id);
    } else {
      next.delete(id);
    }
    onOpen(next);
  }
}

/** Clicking the selected line again must not unselect it; a folder opens instead of being selected. */
function picked(model: ITeleporter, item: Item): void {
  const { key } = item.dataset;
  if (item.selected) {
    if (key) {
      model.select(key);
    } else {
      item.selected = false;
      flip(item);
    }
  } else if (key && key === model.selected) {
    queueMicrotask(() => {
      if (key === model.selected) {
        item.selected = true;
      }
    });
  }
}

function pick(model: ITeleporter, item: Item): void {
  if (item.dataset.key) {
    model.select(item.dataset.key);
  }
}

function flip(item: Item): void {
  item.expanded = !item.expanded;
}

/** Bring a line that was selected elsewhere into sight. */
function useReveal(
  host: React.RefObject<HTMLElement>,
  selected: string | null
): void {
  React.useEffect(() => {
    if (selected) {
      host.current
        ?.querySelector(`[data-key="${CSS.escape(selected)}"]`)
        ?.scrollIntoView({ block: 'nearest' });
    }
  }, [host, selected]);
}

/** The open lines with all that stands above `key` opened as well. */
export function revealed(
  open: ReadonlySet<string>,
  key: string | null
): ReadonlySet<string> {
  const missing = key ? ancestors(key).filter(id => !open.has(id)) : [];
  return missing.length ? new Set([...open, ...missing]) : open;
}
