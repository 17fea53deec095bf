/** The actions of one thing in a list. */

import { ActionIcon, Menu } from "@mantine/core";
import { IconDots } from "@tabler/icons-react";
import { attempt } from "./dialogs";

export interface RowAction {
  text: string;
  action: () => Promise<unknown>;
  isDangerous?: boolean;
}

export function RowMenu({ label, actions }: { label: string; actions: RowAction[] }) {
  if (actions.length === 0) return null;
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={label}>
          <IconDots size={18} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {actions.map(({ text, action, isDangerous }) => (
          <Menu.Item key={text} className={isDangerous ? "dangerous" : undefined} onClick={() => attempt(action)}>
            {text}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
