/** What is printed: the whole text. The editor itself draws only what is in sight. */

import type { Document } from "@coscribe/client";
import { useEffect, useRef } from "react";
import { isProse } from "./language";

export function Printed({ document, name }: { readonly document: Document; readonly name: string }) {
  const place = useRef<HTMLPreElement>(null);
  useEffect(() => {
    const fill = (): void => place.current?.replaceChildren(document.text);
    const empty = (): void => place.current?.replaceChildren();
    addEventListener("beforeprint", fill);
    addEventListener("afterprint", empty);
    return () => {
      removeEventListener("beforeprint", fill);
      removeEventListener("afterprint", empty);
    };
  }, [document]);
  return <pre ref={place} className="co-printed" data-code={isProse(name) ? undefined : ""} />;
}
