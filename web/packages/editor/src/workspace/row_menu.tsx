/** What can be done with a row of the tree, where it was asked for. */

import { Menu, UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { openerOf } from "../parts/opener";

export interface RowMenuItem {
  readonly text: string;
  readonly keys?: string;
  readonly isDangerous?: boolean;
  readonly action: () => void;
}

/** No keys: the one that opened it would close it on its way up. */
const OUTSIDE = ["mousedown", "touchstart"];

interface Props {
  readonly label: string;
  readonly at: { readonly x: number; readonly y: number };
  readonly items: readonly RowMenuItem[];
  readonly onClose: () => void;
}

export default function RowMenuAt({ label, at, items, onClose }: Props) {
  const [opener] = useState(() => openerOf(document.activeElement));
  const close = () => {
    // Not where something that was chosen has it already: a name, a file.
    const at = document.activeElement;
    if (at === null || at === document.body || at.closest("[role=menu]") !== null) opener?.focus();
    onClose();
  };
  return (
    <Menu
      opened
      onClose={close}
      clickOutsideEvents={OUTSIDE}
      position="bottom-start"
      shadow="md"
      width={220}
      returnFocus={false}
      withinPortal
    >
      <Menu.Target>
        <UnstyledButton className="co-menu-place" aria-label={label} tabIndex={-1} style={{ left: at.x, top: at.y }} />
      </Menu.Target>
      <Menu.Dropdown aria-label={label}>
        {items.map(({ text, keys, isDangerous, action }) => (
          <Menu.Item
            key={text}
            className={isDangerous ? "dangerous" : undefined}
            rightSection={keys && <span aria-hidden>{keys}</span>}
            onClick={() => {
              opener?.focus(); // what a dialog gives it back to
              action();
            }}
          >
            {text}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
