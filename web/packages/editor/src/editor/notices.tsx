/** What somebody has to know about the document before they write into it. */

import { Button } from "@mantine/core";
import { Link } from "react-router";
import type { DocumentRow } from "../api/models";
import { Notice } from "../parts/notice";
import { useSession } from "../session";

export function Notices({ item }: { readonly item: DocumentRow | null }) {
  const { account, guest, server } = useSession();
  if (item?.status === "archived") {
    return <Notice>This document is archived: everybody here can read it, nobody can edit it.</Notice>;
  }
  if (account !== null || guest === null) return null;
  const what =
    guest.linkRole === "editor"
      ? "You read this as a guest; with an account you can edit it."
      : "You read this as a guest.";
  return (
    <Notice>
      {what}{" "}
      <Button component={Link} to="/sign-in" size="compact-sm" variant="default">
        Sign in
      </Button>{" "}
      {server?.openSignUp && (
        <Button component={Link} to="/sign-up" size="compact-sm" variant="default">
          Create an account
        </Button>
      )}
    </Notice>
  );
}
