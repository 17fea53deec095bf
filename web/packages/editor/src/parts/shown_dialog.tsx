/** A dialog as it is shown. */

import { Modal } from "@mantine/core";
import type { ReactNode } from "react";

interface ShownDialogProps {
  title: string;
  size?: string;
  opened: boolean;
  /** Gets the focus when it has closed. */
  opener: HTMLElement | null;
  onClose: () => void;
  onClosed?: () => void;
  children: ReactNode;
}

export default function ShownDialog({
  title,
  size = "md",
  opened,
  opener,
  onClose,
  onClosed,
  children,
}: ShownDialogProps) {
  const closed = () => {
    if (opener?.isConnected) opener.focus();
    onClosed?.();
  };
  return (
    <Modal title={title} size={size} opened={opened} onClose={onClose} returnFocus={false} onExitTransitionEnd={closed}>
      {children}
    </Modal>
  );
}
