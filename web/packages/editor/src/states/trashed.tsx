import { useQueryClient } from "@tanstack/react-query";
import { setStatus } from "../api/documents";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { ActionButton } from "../parts/action_button";
import { say } from "../shell/say";
import { HomeLink } from "./home_link";
import { State } from "./state";

/** A document in the trash, for its owners: nobody else sees it. */
export function Trashed({ item }: { item: DocumentRow }) {
  const queries = useQueryClient();
  const restore = async () => {
    await setStatus(item.documentId, "restore");
    await queries.invalidateQueries({ queryKey: keys.documents });
    say("Restored.");
  };
  return (
    <State
      title="This document is in the trash"
      text={`“${item.name}” is kept, and only its owners see it. Restored, it is there again for everybody.`}
    >
      <ActionButton variant="filled" action={restore}>
        Restore
      </ActionButton>
      <HomeLink />
    </State>
  );
}
