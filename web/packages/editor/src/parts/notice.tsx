/** A sentence or two that stand out. */

import type { ReactNode } from "react";

interface NoticeProps {
  kind?: "info" | "good" | "warning" | "refused";
  role?: "alert" | "status";
  children: ReactNode;
}

export function Notice({ kind = "info", role, children }: NoticeProps) {
  return (
    <div className={`notice ${kind}`} role={role}>
      {children}
    </div>
  );
}

/** A word about something in a list: its state, a role. */
export function Tag({ kind = "", children }: { kind?: "" | "good" | "warning" | "strong"; children: ReactNode }) {
  return <span className={`tag ${kind}`}>{children}</span>;
}

/** The colour of a person. It says nothing that the name beside it does not. */
export function Dot({ color }: { color: string | null }) {
  return <span className="dot" aria-hidden style={{ background: color ?? "#868e96" }} />;
}
