/** A button that opens something beside it. What that needs is loaded when it is first wanted. */

import { UnstyledButton } from "@mantine/core";
import { lazy, type ReactNode, Suspense, useState } from "react";

const Popup = lazy(() => import("./popup"));

export interface DisclosedProps {
  readonly className: string;
  readonly "aria-label": string;
  readonly "data-tone"?: string;
  /** What the button shows. */
  readonly face: ReactNode;
  /** Of what it opens, in pixels. */
  readonly width: number;
  readonly children: ReactNode;
}

export function Disclosed(props: DisclosedProps) {
  const [isWanted, setWanted] = useState(false);
  const { face, width: _, children: __, ...button } = props;
  const closed = (
    <UnstyledButton {...button} aria-haspopup="dialog" onClick={() => setWanted(true)}>
      {face}
    </UnstyledButton>
  );
  if (!isWanted) return closed;
  return (
    <Suspense fallback={closed}>
      <Popup {...props} />
    </Suspense>
  );
}
