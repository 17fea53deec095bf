/** Sharing: people, groups, links, requests and bans of a document. Everything takes effect at once, for everybody. */

import { Loader, Modal } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { seeDocument } from "../api/documents";
import { keys } from "../api/keys";
import { useSession } from "../session";
import { Failed } from "../states/failed";
import { AccessRequests } from "./access_requests";
import { Bans } from "./bans";
import { InviteForm } from "./invite_form";
import { Links } from "./links";
import { Members } from "./members";
import { Pending } from "./pending";

interface ShareDialogProps {
  documentId: string;
  opened: boolean;
  onClose: () => void;
}

export function ShareDialog({ documentId, opened, onClose }: ShareDialogProps) {
  const { account } = useSession();
  const document = useQuery({
    queryKey: keys.document(documentId),
    queryFn: ({ signal }) => seeDocument(documentId, signal),
    enabled: opened,
  });
  const isOwner = document.data?.role === "owner" || (account?.administrator ?? false);
  const name = document.data ? `“${document.data.name}”` : "this document";
  return (
    <Modal opened={opened} onClose={onClose} size="lg" title={isOwner ? `Share ${name}` : `People in ${name}`}>
      {document.isPending && <Loader aria-label="Loading" className="loading" />}
      {document.isError && <Failed error={document.error} again={() => void document.refetch()} />}
      {document.data && (
        <>
          {isOwner && <AccessRequests documentId={documentId} />}
          {isOwner && <InviteForm documentId={documentId} />}
          <Members documentId={documentId} isOwner={isOwner} onLeft={onClose} />
          {isOwner && (
            <>
              <Pending documentId={documentId} />
              <Links documentId={documentId} />
              <Bans documentId={documentId} />
            </>
          )}
        </>
      )}
    </Modal>
  );
}
