/** Two moments of a workspace: which files are others, and of each what. */

import { Button, Loader, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { Problem, textOf } from "../api/problem";
import { Form } from "../parts/form";
import { Failed } from "../states/failed";
import { nameIn } from "../workspace/address";
import { type Differing, listDiffering, pastKeys } from "./api";
import { useSide } from "./use_file";

const Differences = lazy(() => import("../history/differences"));

/** Sequences; the earlier one first. */
export interface Moments {
  readonly from: number;
  readonly to: number;
}

interface Props {
  readonly workspaceId: string;
  readonly moments: Moments;
  /** The last one. */
  readonly length: number;
  readonly fileId: string;
  readonly onMoments: (moments: Moments) => void;
  readonly onShow: (fileId: string) => void;
  readonly onClose: () => void;
}

export function CompareMoments({ workspaceId, moments, length, fileId, onMoments, onShow, onClose }: Props) {
  const { from, to } = moments;
  const found = useQuery({
    queryKey: pastKeys.differing(workspaceId, from, to),
    queryFn: ({ signal }) => listDiffering(workspaceId, from, to, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
  const items = (found.data?.items ?? []).filter(({ node }) => node !== "directory");
  const shown = items.find((item) => item.fileId === fileId);
  const wanted = (label: string, key: "from" | "to") => (
    <TextInput name={key} label={label} defaultValue={moments[key]} inputMode="numeric" autoComplete="off" />
  );
  return (
    <section className="co-compare" aria-label="Compare two moments">
      <Form
        key={`${from} ${to}`}
        submit="Compare"
        inline
        action={async (values) => {
          const [one, other] = [momentIn(values["from"], length), momentIn(values["to"], length)];
          onMoments({ from: Math.min(one, other), to: Math.max(one, other) });
        }}
      >
        <div className="co-pair">
          {wanted("After change", "from")}
          {wanted("and after change", "to")}
        </div>
        <Button variant="default" onClick={onClose}>
          Close
        </Button>
      </Form>
      {found.isError && <Failed error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Loader aria-label="Looking for what differs" className="loading" />}
      {found.data && (
        <div className="co-moment">
          <nav className="co-past-tree" aria-label="Files that differ">
            <p className="co-past-count" role="status">
              {countText(items.length + found.data.more)}
            </p>
            <ul className="co-differing-list">
              {items.map((item) => (
                <li key={item.fileId}>
                  <button type="button" aria-current={item.fileId === fileId} onClick={() => onShow(item.fileId)}>
                    <span className="co-differing">
                      <span>
                        <span className="co-differing-kind" data-kind={item.kind}>
                          {item.kind}
                        </span>{" "}
                        <bdi>{item.newPath || item.path}</bdi>
                      </span>
                      {item.kind === "moved" && (
                        <span className="quiet">
                          from <bdi>{item.path}</bdi>
                        </span>
                      )}
                    </span>
                  </button>
                </li>
              ))}
            </ul>
            {found.data.more > 0 && <p className="co-past-said">and {found.data.more} more</p>}
          </nav>
          {shown === undefined ? (
            <p className="co-past-said">
              {items.length > 0 ? "Choose a file to see what differs in it." : "Nothing differs."}
            </p>
          ) : (
            <OneFile workspaceId={workspaceId} item={shown} {...moments} />
          )}
        </div>
      )}
    </section>
  );
}

function OneFile({
  workspaceId,
  item,
  from,
  to,
}: Moments & { readonly workspaceId: string; readonly item: Differing }) {
  const before = useSide(workspaceId, item.fileId, from);
  const after = useSide(workspaceId, item.fileId, to);
  const failed = before.isError ? before : after;
  if (failed.isError) return <p className="co-past-said">{textOf(failed.error)}</p>;
  if (before.data === undefined || after.data === undefined) return <p className="co-past-said">Loading…</p>;
  if (before.data?.text === null || after.data?.text === null) {
    return <p className="co-past-said">It is no text, so what differs in it cannot be shown.</p>;
  }
  const side = (at: number, file: typeof before.data) => ({
    text: file?.text ?? "",
    label: file === null ? `After ${at}: it was not there` : `After ${at}: ${file?.entry.path}`,
  });
  return (
    <div className="co-past-file">
      <Suspense fallback={<p className="co-past-said">Loading…</p>}>
        <Differences
          name={nameIn(item.newPath || item.path)}
          before={side(from, before.data)}
          after={side(to, after.data)}
        />
      </Suspense>
    </div>
  );
}

function countText(count: number): string {
  if (count === 0) return "No file differs.";
  return count === 1 ? "1 file differs." : `${count.toLocaleString()} files differ.`;
}

/** Raises `Problem`. */
function momentIn(typed: string | undefined, length: number): number {
  const text = (typed ?? "").trim();
  const moment = /^\d{1,15}$/.test(text) ? Number(text) : -1;
  if (moment >= 0 && moment <= length) return moment;
  throw new Problem(422, { title: `There is no moment “${text}”`, help: `Type a number from 0 to ${length}.` });
}
