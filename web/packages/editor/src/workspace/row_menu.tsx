/** What can be done with a row of the tree, where it was asked for. */

import { Menu, UnstyledButton } from "@mantine/core";

export interface RowMenuItem {
  readonly text: string;
  readonly keys?: string;
  readonly isDangerous?: boolean;
  readonly action: () => void;
}

interface Props {
  readonly label: string;
  readonly at: { readonly x: number; readonly y: number };
  readonly items: readonly RowMenuItem[];
  readonly onClose: () => void;
}

export default function RowMenuAt({ label, at, items, onClose }: Props) {
  return (
    <Menu opened onClose={onClose} position="bottom-start" shadow="md" width={220} returnFocus={false} withinPortal>
      <Menu.Target>
        <UnstyledButton className="co-menu-place" aria-label={label} tabIndex={-1} style={{ left: at.x, top: at.y }} />
      </Menu.Target>
      <Menu.Dropdown aria-label={label}>
        {items.map(({ text, keys, isDangerous, action }) => (
          <Menu.Item
            key={text}
            className={isDangerous ? "dangerous" : undefined}
            rightSection={keys && <span aria-hidden>{keys}</span>}
            onClick={action}
          >
            {text}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
