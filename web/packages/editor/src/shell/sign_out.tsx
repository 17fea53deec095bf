/** Signing out. What has not reached the server would stay behind: so it asks what becomes of it. */

import { Button, Group, Loader, Stack, Text } from "@mantine/core";
import { useCallback, useEffect, useState } from "react";
import { useNavigate } from "react-router";
import { textOf } from "../api/problem";
import { forgetNames } from "../editor/names";
import { ActionButton } from "../parts/action_button";
import { confirm } from "../parts/dialogs";
import { download } from "../parts/download";
import { Notice } from "../parts/notice";
import ShownDialog from "../parts/shown_dialog";
import { useSession } from "../session";
import { type FindUnsentEdits, type KeptDocument, type UnsentEdits, unsentEdits } from "../unsent";
import { say } from "./say";

interface SignOutProps {
  opened: boolean;
  /** Gets the focus when it has closed. */
  opener: HTMLElement | null;
  onClose: () => void;
  /** Where unsent edits are found. */
  find?: FindUnsentEdits;
}

export default function SignOutDialog({ opened, opener, onClose, find = unsentEdits }: SignOutProps) {
  const { account, signOut, accessToken } = useSession();
  const navigate = useNavigate();
  const [edits, setEdits] = useState<UnsentEdits | null>(null);
  const [documents, setDocuments] = useState<KeptDocument[]>([]);
  const [refusal, setRefusal] = useState("");
  const userId = account?.userId ?? "";

  const leave = useCallback(async () => {
    await signOut();
    forgetNames();
    navigate("/");
    say("You are signed out.");
  }, [signOut, navigate]);

  const look = useCallback(
    async (found: UnsentEdits) => {
      const waiting = await found.list();
      setDocuments(waiting);
      if (waiting.length === 0) await leave();
    },
    [leave],
  );

  const begin = useCallback(async () => {
    setRefusal("");
    setDocuments([]);
    const found = await find(userId, accessToken);
    setEdits(found);
    await look(found);
  }, [find, look, userId, accessToken]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: only opening begins; a change meanwhile must not do it twice
  useEffect(() => {
    if (opened) begin().catch((error) => setRefusal(textOf(error)));
  }, [opened]);

  const send = async () => {
    if (edits === null) return;
    await edits.send();
    await look(edits);
  };
  const keepAsFile = async () => {
    if (edits !== null) download(await edits.download(), "coscribe-unsent.txt");
  };
  const discard = async () => {
    const text = "What you typed and nobody has received is gone then. Documents on the server stay as they are.";
    if (edits === null || !(await confirm("Discard what was not sent?", text, "Discard and sign out"))) return;
    await edits.discard();
    await leave();
  };
  const hasEdits = documents.length > 0;
  return (
    <ShownDialog
      opened={opened}
      opener={opener}
      onClose={onClose}
      title={hasEdits ? "Not everything is sent yet" : "Sign out"}
    >
      <Stack>
        {refusal && (
          <Notice kind="refused" role="alert">
            {refusal}
          </Notice>
        )}
        {!hasEdits && !refusal && <Loader size="sm" aria-label="Signing out" role="status" />}
        {hasEdits && (
          <>
            <Text>Edits on this device have not reached the server. Signed out, nobody could send them.</Text>
            <ul className="rows" aria-label="Documents with unsent edits">
              {documents.map(({ documentId, name, edits }) => (
                <li key={documentId} className="row">
                  <span className="name grow">{name}</span>
                  <span className="quiet">{edits === 1 ? "1 edit" : `${edits} edits`}</span>
                </li>
              ))}
            </ul>
            <Group>
              <ActionButton variant="filled" action={send}>
                Send first
              </ActionButton>
              <ActionButton action={keepAsFile}>Download</ActionButton>
              <ActionButton color="red" variant="filled" action={discard}>
                Discard
              </ActionButton>
            </Group>
          </>
        )}
        <Button variant="subtle" onClick={onClose}>
          Stay signed in
        </Button>
      </Stack>
    </ShownDialog>
  );
}
