/** What is shown instead of something: what happened, and the next step. */

import type { ReactNode } from "react";
import { Page } from "../parts/page";

export function State({ title, text, children }: { title: string; text: ReactNode; children?: ReactNode }) {
  return (
    <Page title={title} narrow>
      <p className="lead">{text}</p>
      {children && <div className="actions">{children}</div>}
    </Page>
  );
}
