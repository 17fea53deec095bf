/** The history of a workspace: who worked when, and the whole tree at any moment of it. For editors. */

import "../editor/editor.css";
import "../history/history.css";
import "./past.css";
import { Button, Menu } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconChevronDown } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { seeDocument } from "../api/documents";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { Problem } from "../api/problem";
import { askForText, attempt, confirm } from "../parts/dialogs";
import { Page } from "../parts/page";
import { say } from "../shell/say";
import { Failed } from "../states/failed";
import { NoAccess } from "../states/no_access";
import { Opening } from "../states/opening";
import { State } from "../states/state";
import { Trashed } from "../states/trashed";
import { addressOfWorkspace, folderIn, nameIn } from "../workspace/address";
import { archiveAddress, forkPast, pastKeys, restorePast, seePresent } from "./api";
import { CompareMoments, type Moments } from "./compare_moments";
import { MomentBar } from "./moment_bar";
import { PastFile } from "./past_file";
import { PastTree } from "./past_tree";
import { useFile } from "./use_file";
import { WorkTimeline } from "./work_timeline";

export default function WorkspaceHistoryPage() {
  const { workspaceId = "" } = useParams();
  const item = useQuery({
    queryKey: keys.document(workspaceId),
    queryFn: ({ signal }) => seeDocument(workspaceId, signal),
  });
  const isReader = item.data?.role === "viewer";
  const present = useQuery({
    queryKey: pastKeys.present(workspaceId),
    queryFn: ({ signal }) => seePresent(workspaceId, signal),
    enabled: item.data?.status !== "trashed" && item.data !== undefined && !isReader,
    // It ends where it was opened: what comes later shows when it is opened again.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const failed = item.isError ? item : present;
  if (failed.isError && failed.data === undefined) {
    if (failed.error instanceof Problem && failed.error.code === "file_not_found") {
      return <NoAccess documentId={workspaceId} />;
    }
    return <Failed error={failed.error} again={() => void failed.refetch()} />;
  }
  if (item.data?.status === "trashed") return <Trashed item={item.data} />;
  if (isReader) return <ForEditors workspaceId={workspaceId} />;
  if (item.data === undefined || present.data === undefined) return <Opening />;
  return <Shown key={workspaceId} item={item.data} length={present.data} />;
}

function ForEditors({ workspaceId }: { workspaceId: string }) {
  return (
    <State
      title="The history is for editors"
      text="It shows what was deleted, too, so only those who may edit the workspace see it."
    >
      <Button component={Link} variant="default" to={addressOfWorkspace(workspaceId)}>
        To the workspace
      </Button>
    </State>
  );
}

/** `length`: the sequence of the present. The moment and the file that are shown are in the address. */
function Shown({ item, length }: { readonly item: DocumentRow; readonly length: number }) {
  const { documentId: workspaceId, name } = item;
  const [parameters, setParameters] = useSearchParams();
  const [moment, setMoment] = useState(() => sequenceIn(parameters.get("at"), length));
  const [at] = useDebouncedValue(moment, 150);
  const fileId = parameters.get("file") ?? "";
  const [folder, setFolder] = useState("");
  const file = useFile(workspaceId, fileId, at);
  const path = file.isError ? "" : (file.data?.entry.path ?? "");
  const moments = momentsIn(parameters.get("compare"), length);
  const put = (change: Record<string, string | null>) => {
    const next = new URLSearchParams(parameters);
    for (const [key, value] of Object.entries(change)) {
      if (value === null) next.delete(key);
      else next.set(key, value);
    }
    setParameters(next, { replace: true });
  };
  const show = (shown: string) => put({ file: shown, at: String(moment) });
  const compare = (next: Moments | null) => put({ compare: next && `${next.from}..${next.to}` });
  const go = (sequence: number) => {
    const wanted = Math.min(length, Math.max(0, sequence));
    setMoment(wanted);
    put({ at: String(wanted), compare: null });
  };
  return (
    <Page
      title={`History of ${name}`}
      actions={
        <>
          <Button component={Link} to={addressOfWorkspace(workspaceId)} variant="default">
            To the workspace
          </Button>
          <Button
            variant={moments ? "filled" : "default"}
            aria-pressed={moments !== null}
            onClick={() => compare(moments ? null : { from: moment < length ? moment : 0, to: length })}
          >
            Compare
          </Button>
          <MomentMenu item={item} sequence={moment} file={path} folder={folder || folderIn(path)} />
        </>
      }
    >
      <div className="co-history">
        <div className="co-past">
          {moments ? (
            <CompareMoments
              workspaceId={workspaceId}
              moments={moments}
              length={length}
              fileId={fileId}
              onMoments={compare}
              onShow={show}
              onClose={() => compare(null)}
            />
          ) : (
            <>
              <div className="co-moment">
                <PastTree
                  workspaceId={workspaceId}
                  at={at}
                  shownId={fileId}
                  shownPath={path}
                  onShow={(shown) => {
                    setFolder("");
                    show(shown);
                  }}
                  onFolder={setFolder}
                />
                <PastFile workspaceId={workspaceId} fileId={fileId} at={at} />
              </div>
              <MomentBar sequence={moment} length={length} onGo={go} />
            </>
          )}
        </div>
        <WorkTimeline workspaceId={workspaceId} sequence={moment} onGo={go} />
      </div>
    </Page>
  );
}

interface MomentProps {
  readonly item: DocumentRow;
  readonly sequence: number;
  /** Paths at that moment; "": none is chosen. */
  readonly file: string;
  readonly folder: string;
}

/** What can be done with the moment that is shown. */
function MomentMenu({ item, sequence, file, folder }: MomentProps) {
  const { documentId: workspaceId, name } = item;
  const navigate = useNavigate();
  const queries = useQueryClient();
  const restore = async (path: string) => {
    const what = path === "" ? "everything" : `“${path}”`;
    const text =
      `It becomes what it was at ${sequence}, by new operations of yours. What has appeared since goes into the trash, ` +
      "the history stays whole, and what others write at the same time stays, too.";
    if (!(await confirm(`Restore ${what}?`, text, "Restore", false))) return;
    await attempt(async () => {
      await restorePast(workspaceId, path, sequence);
      await queries.invalidateQueries({ queryKey: ["past", workspaceId] });
      say(`It is as it was at ${sequence}.`);
      navigate(addressOfWorkspace(workspaceId));
    });
  };
  const fork = () =>
    askForText("Fork", { label: "Name", value: `${name} (as at ${sequence})`, submit: "Fork" }, async (wanted) => {
      const made = await forkPast(workspaceId, wanted, sequence);
      navigate(addressOfWorkspace(made.documentId));
    });
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <Button variant="default" rightSection={<IconChevronDown size={16} aria-hidden />}>
          This moment
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {file !== "" && <Menu.Item onClick={() => void restore(file)}>Restore this file…</Menu.Item>}
        {folder !== "" && (
          <Menu.Item onClick={() => void restore(folder)}>{`Restore the folder “${nameIn(folder)}”…`}</Menu.Item>
        )}
        <Menu.Item onClick={() => void restore("")}>Restore everything…</Menu.Item>
        <Menu.Item component="a" href={archiveAddress(workspaceId, sequence)} download>
          Download as a zip file
        </Menu.Item>
        <Menu.Item onClick={() => void fork()}>Fork into a new workspace…</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** A sequence in the address; the last one where there is none. */
function sequenceIn(text: string | null, length: number): number {
  return text !== null && /^\d{1,15}$/.test(text) ? Math.min(Number(text), length) : length;
}

/** `3..12` in the address; null: nothing is compared. */
function momentsIn(text: string | null, length: number): Moments | null {
  const [, from, to] = /^(\d{1,15})\.\.(\d{1,15})$/.exec(text ?? "") ?? [];
  if (from === undefined || to === undefined) return null;
  const [one, other] = [sequenceIn(from, length), sequenceIn(to, length)];
  return { from: Math.min(one, other), to: Math.max(one, other) };
}
