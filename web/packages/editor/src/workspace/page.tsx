/** The page of one workspace: its files in a tree, several of them open, who is here, and what can be done. */

import "../editor/editor.css";
import "./workspace.css";
import type { Client, Document, Workspace } from "@coscribe/client";
import { ActionIcon, Button, Drawer } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconArrowLeft, IconFiles } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Link, useLocation, useNavigate, useParams, useSearchParams } from "react-router";
import { seeDocument } from "../api/documents";
import { keys } from "../api/keys";
import { listMembers } from "../api/members";
import type { DocumentRow } from "../api/models";
import { Problem } from "../api/problem";
import { query } from "../api/request";
import { MoreButton, Name } from "../editor/bar";
import { clientOf } from "../editor/connection";
import { EarlyKeys } from "../editor/early_keys";
import { FollowedPerson } from "../editor/followed_person";
import { keepName, keptName } from "../editor/names";
import { Notices } from "../editor/notices";
import { People } from "../editor/people";
import type { Spot } from "../editor/spot";
import { Status } from "../editor/status";
import { openerOf } from "../parts/opener";
import { useSession } from "../session";
import { say } from "../shell/say";
import { Failed } from "../states/failed";
import { NoAccess } from "../states/no_access";
import { Opening } from "../states/opening";
import { StorageRefused } from "../states/storage_refused";
import { Trashed } from "../states/trashed";
import { noteText } from "./acts";
import { addressOfWorkspace, fileInAddress, nameIn } from "./address";
import { type Doing, Doings, doingText } from "./doings";
import { OpenFile } from "./open_file";
import { Outline } from "./outline";
import { Sidebar } from "./sidebar";
import { TabBar } from "./tab_bar";
import { closed, keepTabs, keptTabs, nextOf, opened, type Tabs } from "./tabs";
import { Texts } from "./texts";
import { TreePatches, TreeState } from "./tree_state";
import { askAboutCollisions } from "./upload_panel";
import { Uploads } from "./uploads";
import { useTree, useTreeStatus } from "./use_workspace";

const ShareDialog = lazy(() => import("../share/share_dialog").then((module) => ({ default: module.ShareDialog })));
const ReportDialog = lazy(() => import("../editor/report").then((module) => ({ default: module.ReportDialog })));

const SIGNED_OUT: ReadonlySet<string> = new Set(["session_ended", "sign_in_required", "account_locked"]);
const GONE: ReadonlySet<string> = new Set(["file_not_found", "access_removed"]);

/** `chosen`: shut by a choice, which has the focus then, and not what had opened it. */
type DrawerState = "shut" | "open" | "chosen";

/** Below this the files are in a drawer. */
const NARROW = "(max-width: 48rem)";

export default function WorkspacePage() {
  const { workspaceId = "" } = useParams();
  const { account, guest, accessToken } = useSession();
  const isGuest = account === null && guest?.documentId === workspaceId;
  const userId = account?.userId ?? null;
  const credential = useRef(accessToken);
  useEffect(() => {
    credential.current = accessToken;
  }, [accessToken]);
  const open = useCallback(() => clientOf(userId, () => credential.current()), [userId]);
  const props = { workspaceId, open };
  if (isGuest) return <OpenWorkspace key={workspaceId} {...props} item={null} name={guest.documentName} />;
  return <Described key={`${userId} ${workspaceId}`} {...props} />;
}

interface OpenProps {
  readonly workspaceId: string;
  readonly open: () => Client;
}

/** Name and role come by the API, the files by the client; neither waits for the other. */
function Described({ workspaceId, open }: OpenProps) {
  const item = useQuery({
    queryKey: keys.document(workspaceId),
    queryFn: ({ signal }) => seeDocument(workspaceId, signal),
  });
  const name = item.data?.name;
  useEffect(() => {
    if (name !== undefined) keepName(workspaceId, name, workspaceId);
  }, [workspaceId, name]);
  const problem = item.error instanceof Problem ? item.error : null;
  if (problem?.code === "file_not_found") return <NoAccess documentId={workspaceId} />;
  if (problem !== null && !problem.isUncertain) return <Failed error={problem} again={() => void item.refetch()} />;
  if (item.data?.status === "trashed") return <Trashed item={item.data} />;
  const known = name ?? keptName(workspaceId) ?? "";
  return <OpenWorkspace workspaceId={workspaceId} open={open} item={item.data ?? null} name={known} />;
}

interface OpenWorkspaceProps extends OpenProps {
  /** null: a guest's, or not known while there is no connection. */
  readonly item: DocumentRow | null;
  readonly name: string;
}

interface Opened {
  readonly workspace: Workspace;
  readonly texts: Texts;
  readonly outline: Outline;
  readonly doings: Doings;
  readonly uploads: Uploads;
}

function OpenWorkspace({ workspaceId, open, item, name }: OpenWorkspaceProps) {
  const [shown, setShown] = useState<Opened | null>(null);
  useEffect(() => {
    const workspace = open().openWorkspace(workspaceId);
    const made = {
      workspace,
      texts: new Texts(workspace),
      outline: new Outline(workspace),
      doings: new Doings(workspace),
      uploads: new Uploads(workspace, askAboutCollisions),
    };
    const stops = [
      made.outline.follow(),
      workspace.onNotes((notes) => say(notes.map((note) => noteText(workspace, note)).join("\n"))),
    ];
    setShown(made);
    return () => {
      for (const stop of stops) stop();
      made.uploads.cancel();
      made.texts.show([]);
      void workspace.close();
    };
  }, [workspaceId, open]);
  return shown === null ? null : <Shown key={workspaceId} {...shown} item={item} name={name || "Workspace"} />;
}

interface ShownProps extends Opened {
  readonly item: DocumentRow | null;
  readonly name: string;
}

function Shown(props: ShownProps) {
  const { workspace, item, name } = props;
  const state = useTreeStatus(workspace, (status) => status.state);
  const error = useTreeStatus(workspace, (status) => status.error);
  const isKept = useTreeStatus(workspace, (status) => status.isKept);
  const { reload } = useSession();
  const isSignedOut = error !== null && SIGNED_OUT.has(error.code);
  useEffect(() => {
    if (isSignedOut) void reload();
  }, [isSignedOut, reload]);
  if (state === "ended") {
    const isGone = error !== null && GONE.has(error.code);
    return (
      <>
        <TreePatches workspace={workspace} />
        {isGone ? (
          <NoAccess documentId={workspace.workspaceId} />
        ) : (
          <Failed error={error} again={() => location.reload()} />
        )}
      </>
    );
  }
  return (
    <Desk {...props}>
      <Notices item={item} />
      {!isKept && item !== null && <StorageRefused />}
      <TreePatches workspace={workspace} />
      <h1 className="co-hidden">{name}</h1>
    </Desk>
  );
}

/** Files, tabs and texts. Which file is in front is in the address. */
function Desk({
  workspace,
  texts,
  outline,
  doings,
  uploads,
  item,
  name,
  children,
}: ShownProps & { children: React.ReactNode }) {
  const { workspaceId } = workspace;
  const [parameters] = useSearchParams();
  const { state, key } = useLocation();
  const navigate = useNavigate();
  const shownId = parameters.get("file") ?? "";
  const [tabs, setTabs] = useState<Tabs>(() => keptTabs(workspaceId));
  const documents = useSyncExternalStore(texts.subscribe, texts.open);
  const done = useSyncExternalStore(doings.subscribe, doings.all);
  const [followed] = useState(() => new FollowedPerson());
  const [early] = useState(() => new EarlyKeys(fileInAddress));
  const desk = useRef<HTMLDivElement>(null);
  const [drawer, setDrawer] = useState<DrawerState>("shut");
  const isNarrow = useMediaQuery(NARROW, false, { getInitialValueInEffect: false });
  const hasTree = useTreeStatus(workspace, (status) => status.hasTree);
  const isOffline = useTreeStatus(workspace, (status) => status.state === "offline");
  const whoOf = useNames(workspaceId, item !== null, done, documents);
  const nameOf = useCallback(
    (fileId: string) => nameIn(workspace.path(fileId) ?? "") || keptName(fileId) || "File",
    [workspace],
  );
  const shownName = useTree(workspace, () => (shownId === "" ? "" : nameOf(shownId)));
  const shown = documents.get(shownId);

  useEffect(() => {
    if (shownId !== "") setTabs((before) => opened(before, shownId, (id) => maySafelyGo(texts.open().get(id))));
  }, [shownId, texts]);
  useEffect(() => {
    keepTabs(workspaceId, tabs);
    texts.show(tabs.files);
    doings.watch(tabs.files);
  }, [tabs, workspaceId, texts, doings]);
  // What is a text, or is not there at all, is known with the tree.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  useEffect(() => texts.show(tabs.files), [hasTree]);
  useEffect(() => {
    window.document.title = `${shownName === "" ? name : `${shownName} – ${name}`} · Coscribe`;
    if (shownId !== "" && shownName !== "File") keepName(shownId, shownName, workspaceId);
  }, [shownId, shownName, name, workspaceId]);
  useEffect(() => (desk.current === null ? undefined : early.within(desk.current)), [early]);
  const around = useRef({ whoOf, shownId });
  around.current = { whoOf, shownId };
  useEffect(() => {
    return doings.follow((doing, fileId) => {
      const { whoOf, shownId } = around.current;
      if (fileId !== shownId) say(doingText(doing, whoOf(doing.by))); // of the file in front it is said above the text
    });
  }, [doings]);

  const show = useCallback(
    (fileId: string, spot?: Spot) => {
      setDrawer((before) => (before === "open" ? "chosen" : before));
      early.expect(fileId);
      navigate(addressOfWorkspace(workspaceId, fileId), { state: spot ? { spot } : null });
    },
    [navigate, workspaceId, early],
  );
  const close = (fileId: string) => {
    const next = closed(tabs, fileId);
    setTabs(next);
    if (fileId === shownId) navigate(addressOfWorkspace(workspaceId, nextOf(next)), { replace: true });
  };
  const side = <Sidebar workspace={workspace} outline={outline} uploads={uploads} shownId={shownId} onOpen={show} />;
  return (
    <div className="co-page">
      <WorkspaceBar
        workspace={workspace}
        document={shown}
        item={item}
        name={name}
        fileId={shownId}
        fileName={shownName}
        followed={followed}
        onFiles={isNarrow ? () => setDrawer("open") : undefined}
      />
      {children}
      <div ref={desk} className="co-desk">
        {isNarrow ? (
          <Drawer
            opened={drawer === "open"}
            onClose={() => setDrawer("shut")}
            returnFocus={drawer !== "chosen"}
            title="Files"
            size={320}
            padding={0}
          >
            {side}
          </Drawer>
        ) : (
          hasTree && side
        )}
        <div className="co-files">
          <TabBar
            workspace={workspace}
            files={tabs.files}
            shownId={shownId}
            texts={documents}
            nameOf={nameOf}
            onChoose={early.expect}
            onClose={close}
          />
          {tabs.files.map((fileId) => (
            <OpenFile
              key={fileId}
              workspace={workspace}
              fileId={fileId}
              document={documents.get(fileId)}
              name={nameOf(fileId)}
              visit={fileId === shownId ? key : null}
              followed={followed}
              early={early}
              doing={done.get(fileId)}
              spot={fileId === shownId ? spotIn(state) : null}
              whoOf={whoOf}
              onDismiss={() => doings.dismiss(fileId)}
              onAgain={() => texts.again(fileId)}
            />
          ))}
          {!hasTree && !isOffline && shownId === "" && <Opening />}
          {(hasTree || isOffline) && shownId === "" && (
            <div className="co-file-said">
              <p>
                {hasTree
                  ? "Choose a file to open it."
                  : "The files of this workspace show when the server can be reached."}
              </p>
              {isNarrow && hasTree && <Button onClick={() => setDrawer("open")}>Show the files</Button>}
            </div>
          )}
        </div>
      </div>
    </div>
  );
}

interface BarProps {
  readonly workspace: Workspace;
  /** Of the file in front; undefined: none, or it is no text. */
  readonly document: Document | undefined;
  readonly item: DocumentRow | null;
  readonly name: string;
  /** "": none is in front. */
  readonly fileId: string;
  readonly fileName: string;
  readonly followed: FollowedPerson;
  /** Shows the files, where they are in a drawer. */
  readonly onFiles: (() => void) | undefined;
}

function WorkspaceBar({ workspace, document, item, name, fileId, fileName, followed, onFiles }: BarProps) {
  const { account } = useSession();
  const role = useTreeStatus(workspace, (status) => status.role);
  const [dialog, setDialog] = useState<"share" | "report" | null>(null);
  const opener = useRef<HTMLElement>(null);
  const open = (what: "share" | "report") => {
    opener.current = openerOf(window.document.activeElement);
    setDialog(what);
  };
  const close = () => {
    setDialog(null);
    opener.current?.focus();
  };
  const isMember = account !== null && item !== null;
  return (
    <header className="co-bar">
      <ActionIcon component={Link} to="/" variant="subtle" color="gray" size="lg" aria-label="To the documents">
        <IconArrowLeft size={20} aria-hidden="true" />
      </ActionIcon>
      {onFiles && (
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Files" aria-haspopup="dialog" onClick={onFiles}>
          <IconFiles size={20} aria-hidden="true" />
        </ActionIcon>
      )}
      <Name
        documentId={workspace.workspaceId}
        name={name}
        what="Name of the workspace"
        canRename={isMember && role !== "viewer"}
      />
      {document === undefined ? (
        <TreeState workspace={workspace} />
      ) : (
        <>
          <Status key={document.fileId} document={document} onReport={() => open("report")} />
          <People key={`people ${document.fileId}`} document={document} followed={followed} />
        </>
      )}
      {isMember && (
        <Button size="compact-md" onClick={() => open("share")}>
          {role === "owner" ? "Share" : "People"}
        </Button>
      )}
      <MoreButton
        document={document}
        name={fileName}
        history={isMember && role !== "viewer" ? historyOf(workspace.workspaceId, fileId) : ""}
        onReport={() => open("report")}
      />
      <Suspense>
        {dialog === "share" && <ShareDialog documentId={workspace.workspaceId} opened onClose={close} />}
        {dialog === "report" && document && <ReportDialog document={document} opened onClose={close} />}
      </Suspense>
    </header>
  );
}

/** Who somebody is, by the user id of an operation: from whoever is here, else from the members. */
function useNames(
  workspaceId: string,
  isMember: boolean,
  done: ReadonlyMap<string, Doing>,
  documents: ReadonlyMap<string, Document>,
): (userId: string) => string {
  const { account } = useSession();
  const members = useQuery({
    queryKey: keys.members(workspaceId),
    queryFn: () => listMembers(workspaceId),
    enabled: isMember && done.size > 0,
  });
  return (author) => {
    const [userId = "", token] = author.split("+");
    const bot = token === undefined ? "" : " (a program)";
    if (userId === account?.userId) return `you${bot || ", elsewhere"}`;
    for (const document of documents.values()) {
      for (const { userId: here, displayName } of document.participants.values()) {
        if (here === userId) return displayName + bot;
      }
    }
    const member = members.data?.find(({ memberId }) => memberId === userId);
    return member === undefined ? "somebody" : member.name + bot;
  };
}

function historyOf(workspaceId: string, fileId: string): string {
  return `/w/${encodeURIComponent(workspaceId)}/history${query({ file: fileId })}`;
}

/** What the page was asked to show with the address. */
function spotIn(state: { readonly spot?: Spot } | null): Spot | null {
  return state?.spot ?? null;
}

function maySafelyGo(document: Document | undefined): boolean {
  return document === undefined || (document.status.unsent === 0 && document.status.patches.length === 0);
}
