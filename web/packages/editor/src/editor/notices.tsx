/** What somebody has to know about the document before they write into it. */

import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { asFile, holdToCheckpoint } from "../checkpoints";
import { download } from "../parts/download";
import { Notice } from "../parts/notice";

import { useSession } from "../session";

export function Notices({ item }: { readonly item: DocumentRow | null }) {
  return (
    <>
      {item !== null && <Held documentId={item.documentId} />}
      <State item={item} />
    </>
  );
}

/** Nothing, as long as the history is the one that this browser knows. */
function Held({ documentId }: { readonly documentId: string }) {
  const held = useQuery({
    queryKey: keys.held(documentId),
    queryFn: () => holdToCheckpoint(documentId),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const parted = held.data ?? null;
  if (parted === null) return null;
  return (
    <Notice kind="refused" role="alert">
      The history of this document is not the one that the server had signed before. {parted.detail} A backup may have
      been restored; else somebody has rewritten it. What this browser has kept proves it.{" "}
      <Button
        size="compact-sm"
        variant="default"
        onClick={() => download(asFile(parted.kept), `${documentId}.${parted.kept.number}.checkpoint`)}
      >
        Download it
      </Button>
    </Notice>
  );
}

function State({ item }: { readonly item: DocumentRow | null }) {
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
