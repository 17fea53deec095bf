/** A page: its heading gets the focus when one arrives, so that it is heard, and its name is in the title. */

import { type ReactNode, useEffect, useRef } from "react";

interface PageProps {
  title: string;
  /** Beside the heading. */
  actions?: ReactNode;
  children: ReactNode;
  narrow?: boolean;
}

export function Page({ title, actions, children, narrow }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Coscribe`;
  }, [title]);
  useEffect(() => {
    const active = document.activeElement;
    if (active === null || active === document.body || !active.closest("main, [role=dialog]")) heading.current?.focus();
  }, []);
  return (
    <section className={narrow ? "page narrow" : "page"}>
      <div className="bar">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {actions && <div className="actions">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

/** A part of a page, with a name. */
export function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="part" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}
