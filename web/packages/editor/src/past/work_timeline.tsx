/** Who worked when, in which files, and what became of the tree; the newest first. */

import { AuthorName, span } from "../history/people";
import { PagedList } from "../parts/more";
import { nameIn } from "../workspace/address";
import { listWork, pastKeys, type Work } from "./api";

/** Of one piece of work, so many things are named. */
const NAMED = 4;

interface Props {
  readonly workspaceId: string;
  readonly sequence: number;
  readonly onGo: (sequence: number) => void;
}

export function WorkTimeline({ workspaceId, sequence, onGo }: Props) {
  return (
    <section className="co-timeline" aria-label="Timeline">
      <h2>Work on it</h2>
      <PagedList
        name={pastKeys.work(workspaceId)}
        page={(cursor, signal) => listWork(workspaceId, cursor, signal)}
        idOf={(work) => String(work.lastSequence)}
        row={(work) => <WorkRow work={work} sequence={sequence} onGo={onGo} />}
        label="Work on the workspace, the newest first"
        empty={<p className="empty">Nothing has been made yet.</p>}
      />
    </section>
  );
}

function WorkRow({ work, sequence, onGo }: Omit<Props, "workspaceId"> & { readonly work: Work }) {
  const { author, firstSequence, lastSequence, begunAt, endedAt } = work;
  const said = saidOf(work);
  const more = work.more + Math.max(0, said.length - NAMED);
  return (
    <div className="co-session">
      <button
        type="button"
        className="co-session-main"
        aria-current={firstSequence <= sequence && sequence <= lastSequence}
        onClick={() => onGo(lastSequence)}
      >
        <span className="co-session-who">
          <AuthorName author={author} />
        </span>
        <span className="meta">
          <time dateTime={begunAt}>{span(begunAt, endedAt)}</time>
        </span>
        {said.slice(0, NAMED).map((text) => (
          <span key={text} className="meta">
            <bdi>{text}</bdi>
          </span>
        ))}
        {more > 0 && <span className="meta">and {more.toLocaleString()} more</span>}
      </button>
    </div>
  );
}

/** What was done with the tree, then what was written. */
export function saidOf({ tree, files }: Pick<Work, "tree" | "files">): string[] {
  const done = tree.map(({ verb, path, newPath }) =>
    newPath === "" || newPath === path ? `${verb} ${path}` : `${verb} ${path} to ${nameOrPath(path, newPath)}`,
  );
  const written = files.map(({ path, inserted, deleted }) => `wrote in ${path}: +${inserted} −${deleted}`);
  return [...new Set([...done, ...written])];
}

/** Only the name where the folder is the same. */
function nameOrPath(before: string, after: string): string {
  const isSameFolder = before.slice(0, -nameIn(before).length) === after.slice(0, -nameIn(after).length);
  return isSameFolder ? nameIn(after) : after;
}
