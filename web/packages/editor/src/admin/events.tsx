import { exportEvents, listEvents } from "../api/admin";
import { keys } from "../api/keys";
import type { AccessEvent } from "../api/models";
import { ActionButton } from "../parts/action_button";
import { download } from "../parts/download";
import { Moment } from "../parts/moment";
import { PagedList } from "../parts/more";
import { Tag } from "../parts/notice";

/** Who saw, changed, shared, was refused; the newest first. */
export function Events() {
  return (
    <>
      <div className="bar">
        <p className="quiet">Who saw, changed, shared, was refused; the newest first.</p>
        <ActionButton action={async () => download(await exportEvents(), "access-events.ndjson")}>
          Export all
        </ActionButton>
      </div>
      <PagedList
        name={keys.adminEvents}
        page={listEvents}
        idOf={(event) => String(event.eventId)}
        row={(event) => <EventRow event={event} />}
        label="Events"
        empty={<p className="empty">Nothing has happened yet.</p>}
      />
    </>
  );
}

function EventRow({ event }: { event: AccessEvent }) {
  return (
    <div className="row events">
      <div className="grow">
        <span className="name">{event.action.replaceAll(/[._]/g, " ")}</span>{" "}
        {event.outcome !== "done" && <Tag kind="warning">{event.outcome.replaceAll("_", " ")}</Tag>}
        <p className="meta">
          <Moment at={event.time} />
          <span>by {event.actor || "nobody"}</span>
          {event.subject && <span>to {event.subject}</span>}
          {event.documentId && <code>{event.documentId}</code>}
          {event.address && <span>{event.address}</span>}
        </p>
      </div>
    </div>
  );
}
