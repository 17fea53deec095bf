import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { accept, decline, inbox } from "../api/invitations";
import { keys } from "../api/keys";
import type { Invitation } from "../api/models";
import { ActionButton } from "../parts/action_button";
import { say } from "../shell/say";
import { addressOfDocument } from "./row";

/** Invitations that wait for an answer. */
export function Inbox() {
  const found = useQuery({ queryKey: keys.inbox, queryFn: inbox, refetchInterval: 60_000 });
  return found.data?.map((item) => <InvitationCard key={item.invitationId} item={item} />);
}

function InvitationCard({ item }: { item: Invitation }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const refresh = () => queries.invalidateQueries({ queryKey: keys.inbox });
  const take = async () => {
    const { documentId } = await accept(item.invitationId);
    void refresh();
    await queries.invalidateQueries({ queryKey: keys.documents, refetchType: "none" });
    navigate(addressOfDocument(documentId));
  };
  const refuse = async () => {
    await decline(item.invitationId);
    await refresh();
    say("Declined.");
  };
  return (
    <section className="notice" aria-label="Invitation">
      <p>
        <strong>{item.inviter}</strong> invites you to <strong>“{item.documentName}”</strong> as {item.role}.
      </p>
      <div className="actions">
        <ActionButton variant="filled" action={take}>
          Accept
        </ActionButton>
        <ActionButton action={refuse}>Decline</ActionButton>
      </div>
    </section>
  );
}
