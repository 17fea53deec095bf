/** A button that does one thing at a time and says what went wrong. */

import { Button, type ButtonProps } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { attempt } from "./dialogs";

interface ActionButtonProps extends ButtonProps {
  action: () => Promise<unknown>;
  children: ReactNode;
  "aria-label"?: string;
}

export function ActionButton({ action, children, ...props }: ActionButtonProps) {
  const [isBusy, setBusy] = useState(false);
  const act = async () => {
    if (isBusy) return;
    setBusy(true);
    await attempt(action);
    setBusy(false);
  };
  return (
    <Button variant="default" {...props} aria-disabled={isBusy || undefined} onClick={act}>
      {children}
    </Button>
  );
}
