/** What opens beside a button. Loaded with the first one; open from the beginning. */

import { Popover, UnstyledButton } from "@mantine/core";
import type { DisclosedProps } from "./disclosed";

export default function Popup({ face, width, children, ...button }: DisclosedProps) {
  return (
    <Popover width={width} position="bottom-end" withArrow shadow="md" defaultOpened trapFocus returnFocus>
      <Popover.Target>
        <UnstyledButton {...button}>{face}</UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown>{children}</Popover.Dropdown>
    </Popover>
  );
}
