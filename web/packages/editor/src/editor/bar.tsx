/** Above the text: back, name, state, who is here, share, and everything else in a menu. */

import type { Document } from "@coscribe/client";
import { ActionIcon, Button, TextInput } from "@mantine/core";
import { IconArrowLeft, IconDots } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { renameDocument } from "../api/documents";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { attempt } from "../parts/dialogs";
import { openerOf } from "../parts/opener";
import { useSession } from "../session";
import type { FollowedPerson } from "./followed_person";
import type { MoreProps } from "./more_menu";
import { People } from "./people";
import { Status } from "./status";
import { useStatusOf } from "./use_document";

const ShareDialog = lazy(() => import("../share/share_dialog").then((module) => ({ default: module.ShareDialog })));
const MoreMenu = lazy(() => import("./more_menu"));
const ReportDialog = lazy(() => import("./report").then((module) => ({ default: module.ReportDialog })));

interface Props {
  readonly document: Document;
  readonly item: DocumentRow | null;
  readonly name: string;
  readonly followed: FollowedPerson;
}

export function Bar({ document, item, name, followed }: Props) {
  const { account } = useSession();
  const role = useStatusOf(document, (status) => status.role);
  const [opened, setOpened] = useState<"share" | "report" | null>(null);
  const opener = useRef<HTMLElement>(null);
  const open = (what: "share" | "report") => {
    opener.current = openerOf(window.document.activeElement);
    setOpened(what);
  };
  const close = () => {
    setOpened(null);
    opener.current?.focus();
  };
  const isMember = account !== null && item !== null;
  return (
    <header className="co-bar">
      <ActionIcon component={Link} to="/" variant="subtle" color="gray" size="lg" aria-label="To the documents">
        <IconArrowLeft size={20} aria-hidden="true" />
      </ActionIcon>
      <Name documentId={document.fileId} name={name} canRename={isMember && role !== "viewer"} />
      <Status document={document} onReport={() => open("report")} />
      <People document={document} followed={followed} />
      {isMember && (
        <Button size="compact-md" onClick={() => open("share")}>
          {role === "owner" ? "Share" : "People"}
        </Button>
      )}
      <MoreButton
        document={document}
        name={name}
        history={isMember && role !== "viewer" ? `/d/${document.fileId}/history` : ""}
        onReport={() => open("report")}
      />
      <Suspense>
        {opened === "share" && <ShareDialog documentId={document.fileId} opened onClose={close} />}
        {opened === "report" && <ReportDialog document={document} opened onClose={close} />}
      </Suspense>
    </header>
  );
}

/** The menu is loaded when it is first opened. */
export function MoreButton(props: MoreProps) {
  const [isWanted, setWanted] = useState(false);
  const button = (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label="More"
      aria-haspopup="menu"
      onClick={() => setWanted(true)}
    >
      <IconDots size={20} aria-hidden="true" />
    </ActionIcon>
  );
  if (!isWanted) return button;
  return (
    <Suspense fallback={button}>
      <MoreMenu {...props} />
    </Suspense>
  );
}

interface NameProps {
  readonly documentId: string;
  readonly name: string;
  readonly canRename: boolean;
  readonly what?: string;
}

/** The name, which is renamed where it stands. */
export function Name({ documentId, name, canRename, what = "Name of the document" }: NameProps) {
  const [value, setValue] = useState(name);
  const queries = useQueryClient();
  useEffect(() => setValue(name), [name]);
  if (!canRename) {
    return <h1 className="co-name co-name-read">{name}</h1>;
  }
  const rename = async () => {
    const wanted = value.trim();
    if (wanted === "" || wanted === name) {
      setValue(name);
      return;
    }
    const isDone = await attempt(() => renameDocument(documentId, wanted));
    if (!isDone) setValue(name);
    await queries.invalidateQueries({ queryKey: keys.documents });
  };
  return (
    <>
      <h1 className="co-hidden">{name}</h1>
      <TextInput
        className="co-name"
        variant="unstyled"
        aria-label={what}
        maxLength={256}
        value={value}
        onChange={(event) => setValue(event.currentTarget.value)}
        onBlur={() => void rename()}
        onKeyDown={(event) => {
          if (event.key === "Enter") event.currentTarget.blur();
          if (event.key === "Escape") setValue(name);
        }}
      />
    </>
  );
}
